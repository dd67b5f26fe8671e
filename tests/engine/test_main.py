"""The command line as a whole: its help, and one sentence for bad input to any verb."""

import re

import pytest

from engine.__main__ import main

BAD = {
    "heads do not divide": (["train", "--hidden", "50", "--heads", "4"], "does not divide into 4 heads"),
    "student wider": (["train", "--hidden", "256"], "cannot have more hidden than its teacher"),
    "student deeper": (["train", "--layers", "9"], "cannot have more layers than its teacher"),
    "zero": (["train", "--layers", "0"], "layers must be between 1"),
    "negative": (["train", "--hidden", "-64"], "hidden must be between 1"),
    "text for a number": (["train", "--layers", "four"], "invalid int value"),
    "no steps to close in": (["train", "--hidden", "64", "--steps", "1"], "more steps"),
    "unknown teacher": (["train", "--teacher", "nobody"], "There is no teacher 'nobody'"),
    "unknown method": (["train", "--method", "magic"], "There is no method 'magic'"),
    "unknown corpus": (["train", "--corpus", "moon"], "There is no corpus 'moon'"),
    "missing corpus": (["train", "--corpus", "nltk:not_there"], "is not on this machine"),
    "corpus as a path": (["train", "--corpus", "nltk:../../etc"], "small letters"),
    "unknown option": (["train", "--option", "magic=1"], "no option magic"),
    "option out of range": (["train", "--option", "lr=-1"], "lr must be between 0 and 1"),
    "option without a value": (["train", "--option", "lr"], "NAME=VALUE"),
    "unknown device": (["train", "--device", "abacus"], "device must be one of"),
    "resume nothing": (["train", "--resume", "../../etc"], "There is no run"),
    "stop nothing": (["runs", "--stop", "nothing"], "There is no run"),
    "export nothing": (["export", "nothing", "out"], "There is no run"),
    "attention of nothing": (["attention", "nothing", "hello"], "There is no run"),
    "no task": (["evaluate", "microworld", "--task", "magic"], "There is no task 'magic'"),
    "probe of nothing": (["evaluate", "microworld", "--probe"], "--probe needs a --task"),
    "no seeds": (["evaluate", "microworld", "--task", "grammar", "--seeds", "0"], "At least one seed"),
    "no rows": (["evaluate", "microworld", "--rows", "0"], "--rows must be at least 1"),
    "empty sentence": (["attention", "microworld", "   "], "type at least one word"),
    "unknown command": (["fly"], "invalid choice"),
    "shape of a size": (["size", "--hidden", "100", "--heads", "7"], "use 5 or 10 heads"),
    "all problems at once": (["size", "--layers", "0", "--heads", "0"], "heads must be between 1"),
}


@pytest.mark.parametrize(("arguments", "says"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, says, tmp_path, capsys) -> None:
    """Harm: a slip of the keyboard shows a traceback, or starts a run that cannot work."""
    if arguments and arguments[0] in ("train", "runs", "export", "attention"):
        arguments = [*arguments, "--runs", str(tmp_path / "runs")]
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    told = capsys.readouterr()
    assert code == 2
    assert says in told.err
    assert len(told.err.strip().splitlines()) == 1
    assert told.out == ""
    assert not list((tmp_path / "runs").glob("2*"))  # nothing was started


def test_help_lists_what_there_is(capsys):
    """Harm: a new method, teacher, task or recipe works, and nobody learns of it; or one that is gone is offered."""
    from engine.__main__ import VERBS
    from engine.cli.recipe import GRIDS
    from engine.experiments.recipes import RECIPES
    from engine.methods.registry import METHODS
    from engine.tasks.catalog import TASKS
    from engine.teachers.shipped import SHIPPED

    wanted = {"train": [*METHODS, *SHIPPED], "evaluate": TASKS, "recipe": [*GRIDS, *RECIPES]}
    for verb in VERBS:
        with pytest.raises(SystemExit) as stopped:
            main([verb, "--help"])
        assert stopped.value.code == 0
        told = re.sub(r"-\s+", "-", capsys.readouterr().out)  # names with hyphens are broken at the end of a line
        assert [name for name in wanted.get(verb, []) if not re.search(rf"\b{name}\b", told)] == [], verb
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    assert all(re.search(rf"^ +{verb}\b", told, re.MULTILINE) for verb in VERBS)


def test_no_command_shows_the_help(capsys):
    """Harm: whoever types the bare name learns only that something is missing."""
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 0
    told = capsys.readouterr().out
    assert "usage: " in told
    assert "HEIRLOOM_RUNS" in told
