"""Inheritance, Over time, difference maps and pairs on the examine page. Run without a browser."""

import base64
import json
import re
import shutil

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.elements.theme import LIGHT
from app.examine import film
from app.examine.inheritance import score_text
from app.examine.inheritance_charts import score_curves, score_dots, score_matrix
from app.session import caches
from engine.inheritance.curve import InheritanceCurve, read_inheritance_curve
from engine.inheritance.score import ScoreInterval
from engine.inheritance.scratch_baseline import find_scratch_baseline, scratch_baseline_command, scratch_baseline_config
from engine.model.saved_models import load_model
from engine.settings.run_config import RunConfig
from engine.storage import runs
from engine.storage.attention_frames import read_frames
from engine.storage.runs import Run
from engine.training.launch import PROJECT
from tests.fixtures.short_run import make

PAGE = str(PROJECT / "app" / "pages" / "examine.py")
RIGHT_TO_LEFT, EMOJI = "שלום עולם", "🦊🦊 🐢"


def open_page(folder, run: Run, monkeypatch) -> AppTest:
    """The page of a run's student."""
    monkeypatch.setattr(caches, "RUNS", folder)
    page = AppTest.from_file(PAGE, default_timeout=120)
    page.query_params["run"] = run.id
    page.run()
    assert not page.exception
    return page


@pytest.fixture
def page(made, monkeypatch):
    """The page of that student."""
    return open_page(*made, monkeypatch)


def plots(page) -> list[dict]:
    """Every plotly figure of the page."""
    return [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]


def words(page) -> str:
    """All that the page says."""
    return " ".join(
        str(it.value) for kind in ("markdown", "caption", "warning", "info", "error") for it in page.get(kind)
    )


def press(page, label: str):
    """Presses a button."""
    return next(button for button in page.button if button.label == label).click().run()


def test_the_score_stands_beside_its_nulls_and_its_definition(page, made):
    """Harm: a number that nobody can judge, for nothing is said of what it means or what chance gives."""
    assert "1 - d(student, teacher) / d(random student, teacher)" in words(page)
    assert "No student from scratch stands beside it" in words(page)
    page = press(page, "Score")
    assert not page.exception
    tiles = {metric.label: float(metric.value.replace("\N{MINUS SIGN}", "-")) for metric in page.metric}
    assert 0 < tiles["This student"] < 1
    assert tiles["Random students"] == pytest.approx(0, abs=0.01)
    assert set(tiles) == {"This student", "Heads shuffled", "Random students"}
    heads = next(figure for figure in plots(page) if figure["layout"].get("yaxis", {}).get("range") == [15.5, -0.5])
    assert len(heads["data"]) == 2  # the heatmap and the rings


def test_a_run_from_scratch_of_the_same_budget_is_found(made, tmp_path, monkeypatch):
    """Harm: a WID student is compared with a baseline of another size, seed or length, or with none at all."""
    monkeypatch.setattr("engine.text.corpora.HELD_OUT_ROWS", 32)
    folder, run = tmp_path, Run(tmp_path / made[1].id)
    shutil.copytree(made[1].path, run.path)
    card = load_model(run.student_dir).card
    assert find_scratch_baseline(card, folder) is None
    assert RunConfig.from_json(scratch_baseline_config(card)).method == "scratch"
    other = make(folder, "scratch", seed=1)
    assert find_scratch_baseline(card, folder) is None  # another seed
    twin = make(folder, "scratch")
    assert find_scratch_baseline(card, folder) == Run(twin.path)
    assert find_scratch_baseline(load_model(other.student_dir).card, folder) is None
    page = press(open_page(folder, run, monkeypatch), "Score")
    assert "From scratch" in {metric.label for metric in page.metric}
    assert "No student from scratch" not in words(page)


def test_the_command_for_a_twin_makes_that_very_twin(made):
    """Harm: the command beside the button trains another model than the button."""
    import shlex

    from engine.__main__ import parse
    from engine.cli import train

    card = load_model(made[1].student_dir).card
    arguments = parse(shlex.split(scratch_baseline_command(card))[3:])
    asked, offered = train.run_config(arguments), RunConfig.from_json(scratch_baseline_config(card))
    for name in ("teacher", "method", "student", "corpus", "steps", "batch", "length", "seed", "masking", "mask_share"):
        assert getattr(asked, name) == getattr(offered, name), name


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        ("", "type at least one"),
        ("girl\n\n.", "fewer than two words"),
        (f"{EMOJI}\n{RIGHT_TO_LEFT}", "knows none of the words"),
        ("<script>alert(1)</script> <b>", "knows none of the words"),
        ("the girl sees a boat .\n" * 300, "At most 256"),
    ],
)
def test_lines_that_cannot_be_scored_are_answered_in_words(page, made, lines, answer):
    """Harm: a traceback, or a score that was taken over nothing."""
    run = made[1].id
    page.radio(key=f"inheritance_text_{run}").set_value("My own").run()
    page.text_area(key=f"inheritance_lines_{run}").set_value(lines)
    page = press(page, "Score")
    assert not page.exception
    assert answer in words(page)


def test_lines_of_unequal_length_are_scored_and_what_was_left_out_is_told(page, made):
    """Harm: padding counts as a place to look at, or a line vanishes without a word."""
    run = made[1].id
    page.radio(key=f"inheritance_text_{run}").set_value("My own").run()
    lines = ["the girl sleeps .", "word " * 5000, f"{RIGHT_TO_LEFT} girl <b>washes</b> herself {EMOJI}", "boat"]
    lines += ["the queen near the dragons hides herself . " * 30]
    page.text_area(key=f"inheritance_lines_{run}").set_value("\n".join(lines))
    page = press(page, "Score")
    assert not page.exception
    assert "Over 3 sentences" in words(page)
    assert re.search(r"Lines 2, 5 are longer than \d+ tokens", words(page)) is not None
    assert "Line 4 is left out: fewer than two words" in words(page)


def test_a_student_of_another_vocabulary_is_refused_in_words(made):
    """Harm: token 17 of one vocabulary is compared with token 17 of another."""
    from engine.inheritance.head_distances import InheritanceError
    from engine.inheritance.report import check_vocabulary
    from tests.fixtures.builders import new_tokenizer

    student = load_model(made[1].student_dir).tokenizer
    check_vocabulary(student, new_tokenizer())
    other = new_tokenizer()
    other.add_tokens(["zebra"])
    with pytest.raises(InheritanceError, match="vocabulary is not the teacher's"):
        check_vocabulary(student, other)


@pytest.mark.parametrize(
    ("text", "second", "answer"),
    [
        ("", "", "type at least one word"),
        (EMOJI, "", "nothing but [UNK]"),
        (RIGHT_TO_LEFT, "", "nothing but [UNK]"),
        ("the girl <img src=x onerror=alert(1)> sleeps", "", "does not have"),
        ("boats " * 333, "", "were left out"),
        ("the girl sleeps .", "she is " * 280, "were left out"),
    ],
)
def test_a_sentence_that_is_odd_is_answered_in_words(page, text, second, answer):
    """Harm: markup runs, or an unknown word is drawn as if the model had read it."""
    sentence, other = (page.text_input(key=f"{name}_microworld") for name in ("sentence", "second"))
    sentence.set_value(text)
    other.set_value(second).run()
    assert not page.exception
    told = words(page)
    assert answer in told
    assert "<img" not in told.replace("\\<img", "")


def test_a_pair_is_seen_as_a_pair(page):
    """Harm: two sentences are drawn as one, or the models are not told which word is of which."""
    page.text_input(key="second_microworld").set_value("she is happy .").run()
    assert not page.exception
    names = [figure["layout"]["xaxis"].get("ticktext", []) for figure in plots(page)]
    coloured = next(name for name in names if "[CLS]" in name and any("<span" in tick for tick in name))
    assert [re.sub("<[^>]+>", "", tick) for tick in coloured if "<span" in tick] == ["she", "is", "happy", ".", "[SEP]"]
    assert coloured.count("[SEP]") == 1  # the first sentence's


def test_the_difference_is_the_student_s_less_the_teacher_s(page):
    """Harm: blue and orange change places, and every reader concludes the opposite."""
    grids = {}
    for figure in plots(page):
        (trace, *_) = figure["data"]
        if trace["type"] == "heatmap" and "customdata" in trace and "looks at" in trace.get("hovertemplate", ""):
            raw = np.frombuffer(base64.b64decode(trace["z"]["bdata"]), trace["z"]["dtype"])
            grids.setdefault(float(trace["zmax"]), []).append(raw)
    (teacher, student), (apart,) = grids[1.0], grids[100.0]
    np.testing.assert_allclose(apart, 100 * (student - teacher), atol=1e-3)


def test_the_film_shows_every_picture_and_a_curve(page, made):
    """Harm: what a run kept all along cannot be looked at."""
    told = " ".join(str(html.proto.body) for html in page.get("html"))
    for step in (0, 10, 20):
        assert f"{step}: " in told
    assert told.count("data:image/png;base64,") == 2 + 3
    curve = read_inheritance_curve(made[1])
    assert curve.axes["steps"] == [0, 10, 20]
    assert curve.axes["seconds"][0] == 0
    assert curve.axes["seconds"][1] <= curve.axes["seconds"][2]
    slider = page.select_slider(key=f"film_step_{made[1].id}")
    slider.set_value(0).run()
    assert "after 0 steps" in words(page)
    assert not page.exception
    labels = [button.proto.label for button in page.get("download_button")]
    assert {"These two as SVG", "The film as SVG"} <= set(labels)


def test_the_films_numbers_are_the_snapshots(made):
    """Harm: the numbers that somebody saves are another step's, another sentence's, or the teacher's twice."""
    kept, found = read_frames(made[1].attention_dir), {}
    for model, layer, head, source, _, target, _, share in film._attention_rows(made[1], 1, 20):
        found.setdefault(model, {})[layer - 1, head - 1, source, target] = float(share)
    for name, maps in (("teacher", kept.teacher(1)), ("student", kept.student(20, 1))):
        for place, share in found[name].items():
            assert share == pytest.approx(maps[place[0]][place[1:]] / 255, abs=6e-4)
        assert len(found[name]) == sum(one.size for one in maps)


def test_runs_of_other_teachers_or_texts_do_not_share_a_chart(made, tmp_path):
    """Harm: a curve against minilm is drawn beside one against the microworld as if the two compared."""
    run = made[1]

    def copied(**changes):
        other = runs.create_run(tmp_path, {**run.config(), **changes}, "x")
        shutil.copyfile(run.events_path, other.events_path)
        return read_inheritance_curve(other).comparable_by

    own = read_inheritance_curve(run).comparable_by
    assert own == ("microworld", "microworld", 16) == copied(corpus="microworld")  # "auto" was that text
    assert own not in (copied(teacher="minilm"), copied(length=8))


def test_events_from_elsewhere_do_not_break_the_curve(tmp_path):
    """Harm: one odd line in a run's file takes the page down."""
    run = runs.create_run(tmp_path, {"method": "wid"}, "x")
    assert read_inheritance_curve(run) is None
    whole = dict.fromkeys(("score", "low", "high", "distance", "null"), 0.5)
    for event in (
        {"step": "first", "matched": whole},
        {"step": 0, "matched": {"score": "high"}},
        {"step": 1, "matched": None},
        {"step": 2, "matched": whole, "same_place": None},
    ):
        run.append({"kind": "attention", **event})
    run.append({"kind": "step", "step": 1, "flops": 7e9, "seconds": None})
    curve = read_inheritance_curve(run)
    assert (curve.axes["steps"], curve.axes["flops"], curve.axes["seconds"]) == ([2.0], [7e9], [None])
    assert curve.scores["same_place"] == [None]


def test_charts_hold_what_they_are_given():
    """Harm: a figure fails for one run, for hundreds of heads, or lets a name act as markup."""
    figure = ScoreInterval(0.5, 0.4, 0.6, 0.2, 0.4)
    drawn = score_dots({"<b>student": figure, "random": ScoreInterval(-0.9, -1.0, 0.1, 0.4, 0.4)}, LIGHT, "<b>student")
    assert "&lt;b&gt;student" in drawn.to_json()
    assert drawn.layout.xaxis.range[0] < -1.0
    big = score_matrix(np.zeros((144, 144)), ["1.1"] * 144, ["1.1"] * 144, LIGHT, [(0, 0)])
    assert len(big.layout.xaxis.ticktext) <= 24
    point = {"score": 0.5, "low": 0.4, "high": 0.6, "distance": 0.2, "null": 0.4}
    axes = {"steps": [0.0, 10.0], "flops": [None, None], "seconds": [0.0, 1.0]}
    curve = InheritanceCurve(
        "id", "wid", "4x64", (), axes, {"matched": [point, point], "same_place": [None, None]}, [point], [point]
    )
    assert [len(trace.x) for trace in score_curves([curve], ["wid"], "matched", "steps", "steps", LIGHT).data] == [4, 2]
    assert len(score_curves([curve], ["wid"], "matched", "flops", "FLOPs", LIGHT).data) == 0
    assert len(score_curves([curve], ["wid"], "same_place", "steps", "steps", LIGHT).data) == 0
    assert score_text(-0.00004) == "0.000"
