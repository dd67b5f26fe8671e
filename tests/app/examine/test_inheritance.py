"""The inheritance score on the examine page, its nulls and its own lines. Run without a browser."""

import re
import shutil

import pytest

from engine.inheritance.scratch_baseline import find_scratch_baseline, scratch_baseline_command, scratch_baseline_config
from engine.model.saved_models import load_model
from engine.settings.run_config import RunConfig
from engine.storage.runs import Run
from tests.fixtures.examine_page import EMOJI, RIGHT_TO_LEFT, open_page
from tests.fixtures.page_reading import plots, press, words
from tests.fixtures.short_run import make


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
