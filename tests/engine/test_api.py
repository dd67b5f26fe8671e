"""The five names of `from engine import ...`."""

import html
import inspect
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import engine
from engine import Shape, count, examine, export, train
from engine.api import HtmlFigure
from engine.settings.options import ConfigError
from engine.settings.run_config import RunConfig
from engine.sizing.cost import parameters, parameters_by_part
from engine.storage.runs import Run, RunError, list_runs
from engine.training import job

SMALL = {"layers": 2, "hidden": 32, "heads": 4, "batch": 4, "length": 16, "evaluations": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def made(few_held_out, tmp_path_factory):
    """A student of four steps."""
    return train(steps=4, runs=tmp_path_factory.mktemp("api") / "runs", progress=False, **SMALL)


def test_the_names_are_there_and_cost_nothing_until_asked_for() -> None:
    """Harm: a parameter count in a notebook waits ten seconds for torch, or completion does not find the names."""
    assert set(engine.__all__) <= set(dir(engine))
    assert all(inspect.getdoc(getattr(engine, name)) for name in engine.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'.*train"):
        _ = engine.trian
    code = (
        "import sys, engine\n"
        "assert 'engine.api' not in sys.modules\n"
        "from engine import *\n"
        "assert count(Shape()).total > 100_000_000 and callable(train)\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_count_is_the_exact_count() -> None:
    """Harm: Python and the size page name two sizes for one model."""
    shape = Shape(layers=12, hidden=192, heads=12)
    counted = count(shape)
    assert counted.total == int(counted) == parameters(shape) == sum(counted.parts.values())
    assert counted.parts == parameters_by_part(shape)
    assert counted.bytes == 4 * counted.total
    with pytest.raises(ConfigError, match="count needs a Shape, .* got a dict"):
        count({"layers": 12})


def test_train_hands_back_run_card_and_student(made) -> None:
    """Harm: the student lies on disk, and nobody is told where."""
    assert made.run.status() == "finished"
    assert made.run.card() == made.card
    assert (made.student.bert.shape.layers, made.student.bert.shape.hidden) == (2, 32)
    assert made.student is made.student
    assert sum(it.numel() for it in made.student.bert.parameters()) == made.card["parameters"]
    said = r"<student of \S+: [\d,]+ of 845,779 parameters, masked accuracy [\d.]+% \(teacher: [\d.]+%\)>"
    assert re.fullmatch(said, repr(made))


def test_train_draws_a_bar_when_asked(few_held_out, tmp_path, capsys) -> None:
    """Harm: ten silent minutes, or a script's output full of bars."""
    train(method="scratch", steps=2, runs=tmp_path, **SMALL)
    assert "2/2" in capsys.readouterr().err
    train(method="scratch", steps=2, runs=tmp_path, progress=False, **SMALL)
    assert "step" not in capsys.readouterr().err


def test_one_shot_methods_take_no_step_unless_told(few_held_out, tmp_path) -> None:
    """Harm: int8 is asked for, and 500 steps of healing come with it."""
    made = train(method="int8", runs=tmp_path, progress=False, evaluations=1, device="cpu")
    assert made.card["steps"] == 0


def test_settings_reach_the_run(few_held_out, tmp_path) -> None:
    """Harm: an option is taken without a word and not obeyed."""
    chosen = {"method": "tinybert", "preset": "paper", "options": {"lr": 0.002}, "budget": "2steps", "seed": 3}
    made = train(**chosen, runs=tmp_path, progress=False, **SMALL)
    assert (made.card["steps"], made.card["seed"], made.card["batch"]) == (2, 3, 4)
    assert (made.card["options"]["hard"], made.card["options"]["lr"]) == (0, 0.002)
    names = set(inspect.signature(train).parameters)
    assert names >= {"layers", "hidden", "heads", "head_dim", "ffn", "steps", "budget", "runs", "progress"}
    assert not names & (set(RunConfig().to_json()) - {"teacher", "method", "steps", "budget", "options"})


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"hidden": 63}, "hidden 63 does not divide"),
        ({"hidden": "64"}, "hidden must be a whole number"),
        ({"method": "nope"}, "There is no method 'nope'"),
        ({"teacher": "nope"}, "There is no teacher 'nope'"),
        ({"teacher": 3}, "teacher must be a word"),
        ({"corpus": "nope"}, "There is no corpus 'nope'"),
        ({"stepz": 3}, "A run has no setting stepz"),
        ({"student": {"layers": 2}}, "sizes are given as layers"),
        ({"steps": -1}, "steps must be between"),
        ({"steps": 3, "budget": "5s"}, "steps and budget say the same thing twice"),
        ({"budget": "5parsecs"}, "'parsecs' is no unit"),
        ({"preset": "nope"}, "has no preset 'nope'"),
        ({"options": {"foo": 1}}, "no option foo"),
    ],
)
def test_train_refuses_before_anything_is_made(tmp_path, wrong, told) -> None:
    """Harm: a slip of the keyboard ends in a traceback of torch, or in a run that means something else."""
    with pytest.raises(ConfigError, match=re.escape(told)):
        train(runs=tmp_path / "runs", progress=False, **wrong)
    assert not (tmp_path / "runs").exists()


def test_ctrl_c_saves_and_is_given_back(tmp_path, monkeypatch) -> None:
    """Harm: Ctrl-C loses the student in a notebook, or never stops anything again."""

    def interrupted(run: Run):
        assert signal.getsignal(signal.SIGINT) is not before
        signal.raise_signal(signal.SIGINT)
        assert run.stop_requested()
        yield {"kind": "stopped", "message": "Stopped before training began."}

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(job, "perform", interrupted)
    with pytest.raises(RunError, match="ended without a student: Stopped before training began"):
        train(runs=tmp_path, progress=False, **SMALL)
    assert signal.getsignal(signal.SIGINT) is before


def test_train_works_in_a_thread(few_held_out, tmp_path) -> None:
    """Harm: only the main thread may set signal handlers, so a server that trains in another one fails."""
    thread = threading.Thread(
        target=train, args=("microworld", "scratch"), kwargs={"steps": 1, "runs": tmp_path, **SMALL}
    )
    thread.start()
    thread.join()
    assert [run.status() for run in list_runs(tmp_path)] == ["finished"]


def test_examine_lays_a_pair_side_by_side(made) -> None:
    """Harm: maps of two different texts, or a score without its null."""
    seen = examine(made, text="The girl near the boats washes herself.", sentences=8)
    assert seen.tokens[0] == "[CLS]"
    assert seen.student.shape == (2, 4, len(seen.tokens), len(seen.tokens))
    assert seen.teacher.shape == (4, 4, len(seen.tokens), len(seen.tokens))
    assert np.allclose(seen.student.sum(-1), 1, atol=1e-4)
    assert len(seen.inheritance.sentences) == 8
    assert seen.score.low <= seen.score.score <= seen.score.high
    assert seen.score.null > 0


def test_a_teacher_has_all_of_its_own_attention() -> None:
    """Harm: the score's 1 is not the teacher itself."""
    own = examine("microworld", "microworld", sentences=["The girl near the boats washes herself."])
    assert own.score.score == pytest.approx(1)
    assert np.array_equal(own.student, own.teacher)
    assert own.text.startswith("The girl")


def test_examine_finds_a_run_by_its_id_and_compares_with_another(made) -> None:
    """Harm: a student can be looked at only in the session that made it."""
    root = made.run.path.parent
    seen = examine(made.run.id, made, sentences="She is happy.", runs=root)
    assert seen.score.score == pytest.approx(1)
    assert seen.labels == (made.run.id, made.run.id)
    with pytest.raises(ValueError, match="microworld has no teacher; name the one"):
        examine("microworld")
    with pytest.raises(ValueError, match="sentences must be at least 1, got 0"):
        examine(made, sentences=0)
    with pytest.raises(ValueError, match="There is no run"):
        examine("nobody", runs=root)


def test_a_figure_shows_in_a_notebook_and_is_saved(made, tmp_path) -> None:
    """Harm: a figure that asks the network for a script, or breaks out of the notebook's page."""
    figure = examine(made, sentences=["She is happy."]).figure()
    assert isinstance(figure, HtmlFigure)
    assert "Inheritance score" in figure.page
    assert "https://" not in figure.page
    page = figure.save(tmp_path / "attention.html")
    assert page.read_text(encoding="utf-8") == figure.page
    shown = figure._repr_html_()
    assert shown.count('"') == 8  # of four attributes: everything in the page itself is escaped
    assert html.unescape(shown.partition('srcdoc="')[2].partition('"')[0]) == figure.page


@pytest.mark.parametrize("given", ["what train returned", "a run", "its id"])
def test_export_writes_what_transformers_loads(made, tmp_path, given) -> None:
    """Harm: a student that lives in this project only."""
    from transformers import AutoModelForMaskedLM

    student = {"what train returned": made, "a run": made.run, "its id": made.run.id}[given]
    folder = export(student, tmp_path / "out", runs=made.run.path.parent)
    assert AutoModelForMaskedLM.from_pretrained(folder).config.hidden_size == 32
    with pytest.raises(ValueError, match="is not empty"):
        export(student, tmp_path / "out", runs=made.run.path.parent)
