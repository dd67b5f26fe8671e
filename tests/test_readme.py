"""The README is true."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from engine.methods.registry import METHODS, method_names

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [line for line in README.splitlines() if line.startswith("python -m engine")]


def mapped(top: str) -> list[str]:
    """Every file that the map of a top folder names, as a path."""
    parts = re.split(r"^## `", (ROOT / top / "README.md").read_text(), flags=re.MULTILINE)[1:]
    return [
        f"{top}/{part.split('/')[0]}/{name}"
        for part in parts
        for name in re.findall(r"^\| `([^`]+)` \|", part, re.MULTILINE)
    ]


MAP = [name for top in ("engine", "app") for name in mapped(top)]
PLACES = re.findall(r"^\| `([^`]+)` \|", README, re.MULTILINE)


def test_commands_were_found() -> None:
    """Harm: the tests below pass because they look at nothing."""
    assert len(COMMANDS) >= 7
    assert len(MAP) >= 25


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command) -> None:
    """Harm: the first thing that a newcomer copies fails."""
    from engine.__main__ import parse

    arguments = parse(shlex.split(command)[3:])
    if arguments.command == "train":
        from engine.methods.registry import find
        from engine.settings.run_config import RunConfig
        from engine.teachers.catalog import teacher_card

        length = {name: getattr(arguments, name) for name in ("steps", "budget") if getattr(arguments, name)}
        config = RunConfig(teacher=arguments.teacher, method=arguments.method, **length)
        method = find(config.method)
        wanted = {"layers": arguments.layers, "hidden": arguments.hidden, "heads": arguments.heads}
        shape = method(method.Options(), config.steps).student_shape(teacher_card(config.teacher).shape, wanted)
        assert (shape.layers, shape.hidden, shape.heads) == tuple(wanted.values())


def test_python_examples_run(tmp_path, monkeypatch, capsys) -> None:
    """Harm: the first lines that a notebook is given fail, or print what the text around them does not say."""
    monkeypatch.chdir(tmp_path)
    assert len(EXAMPLES) == 3
    names: dict[str, Any] = {}
    for example in EXAMPLES:  # one after another, as a reader would
        exec(compile(example, "README.md", "exec"), names)
    said = capsys.readouterr()
    assert f"{names['counted'].total:,} parameters" in said.out
    assert "inheritance 0." in said.out
    assert "20/20" in said.err  # the progress bar
    assert names["seen"].student.shape == names["seen"].teacher.shape == (4, 4, 10, 10)
    assert (tmp_path / "attention.html").stat().st_size > 10_000
    assert {path.name for path in (tmp_path / "student").iterdir()} >= {"config.json", "model.safetensors"}
    assert list((tmp_path / "runs").glob("*-wid-4x64/card.json"))


def test_maps_name_every_file_once() -> None:
    """Harm: the map leads to a file that is gone, or leaves out one that is there."""
    assert len(set(MAP)) == len(MAP)
    files = {str(path.relative_to(ROOT)) for top in ("app", "engine") for path in (ROOT / top).glob("*/**/*.py")}
    methods = {f"engine/methods/{name}.py" for name in method_names()}  # the folder says what they are
    assert {name for name in files if not name.endswith("__init__.py")} - methods == set(MAP)
    for name in PLACES:
        assert (ROOT / name).exists(), name


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_the_log_is_an_index_whose_links_lead_somewhere() -> None:
    """Harm: a decision that nobody finds again, and an entry that cannot be read on a screen."""
    folder = ROOT / "log"
    index = (folder / "README.md").read_text()
    named = re.findall(r"\| \[([\w-]+\.md)\]", index)
    assert sorted(named) == sorted(path.name for path in folder.iterdir() if path.name != "README.md")
    for path in folder.iterdir():
        text = path.read_text()
        assert max(map(len, text.splitlines())) <= 160, path.name
        if path.name != "README.md":
            dates = re.findall(r"^## (\d{4}-\d\d-\d\d): .", text, re.MULTILINE)
            assert len(dates) == len(re.findall(r"^## ", text, re.MULTILINE)) > 0, path.name
            assert dates == sorted(dates), path.name
        for link in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", text):
            assert not link or (folder / link).exists(), f"{path.name}: {link}"
        for link, place in re.findall(r"\]\(([\w-]+\.md)?#([^)]+)\)", text):
            headings = re.findall(r"^#+ (.+)$", (folder / (link or path.name)).read_text(), re.MULTILINE)
            assert place in map(anchor, headings), f"{path.name}: {link}#{place}"


def test_pictures_and_targets_exist() -> None:
    """Harm: the README shows a broken picture or names a make target that is not there."""
    for picture in re.findall(r"!\[[^]]+\]\(([^)]+)\)", README):
        assert (ROOT / picture).stat().st_size > 10_000
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert f"\n{target}:" in makefile


def test_every_fault_has_its_test() -> None:
    """Harm: a promise of what happens after a fault, and nothing that makes it happen."""
    table = README.split("## What can go wrong")[1].split("\n## ")[0]
    named = [line.rsplit("`", 2)[1] for line in table.splitlines() if line.startswith("| ") and "`" in line]
    assert len(named) > 10
    for path in named:
        assert "\ndef test_" in (ROOT / "tests" / path).read_text(), path


def test_nobody_but_its_file_names_a_method() -> None:
    """Harm: 'one file' is not enough: a page or the training loop knows methods by name."""
    classes = [kind.__name__ for kind in METHODS.values()]
    assert len(classes) >= 15
    for path in [*(ROOT / "app").rglob("*.py"), *(ROOT / "engine" / "training").rglob("*.py")]:
        text = path.read_text()
        assert not [name for name in classes if re.search(rf"\b{name}\b", text)], path
        assert not re.search(r"method(\.name)? ==", text), path


def test_english_teachers_fill_in_what_it_says() -> None:
    """Harm: the README praises a teacher for what its adapter does not reach."""
    from engine.teachers.catalog import teacher_card

    words = " ".join(README.split())
    for name, claim in (("minilm", "fills in {} of held-out words"), ("minilm-early", "`minilm-early` ({})")):
        scores = teacher_card(name).scores
        accuracy, interval = scores["masked_accuracy"], scores["masked_accuracy_interval"]
        assert claim.format(f"{100 * accuracy:.1f} ± {100 * interval:.1f}%") in words


def test_results_are_the_shipped_ones() -> None:
    """Harm: a figure in the README that nobody measured, or that was measured anew and is another one now."""
    from engine.experiments.outcome import read_outcome
    from engine.settings.project import EXPERIMENTS

    def said(numbers) -> str:
        more = f" ± {100 * numbers.interval:.1f}" if numbers.interval is not None else ""
        return f"{100 * numbers.mean:.1f}{more}"

    both = [read_outcome(path) for path in sorted(EXPERIMENTS.glob("paper-small-*.json"), reverse=True)]
    one, two = sorted(both, key=lambda found: -len(found.nulls))
    for row in one.rows:
        columns = [row.measured[name] for name in ("masked_accuracy", "sentence_polarity", "qc")]
        cells = [row.label, f"{row.parameters:,}", *map(said, columns)]
        assert f"| {' | '.join([*cells, said(two.row(row.name).measured['qc'])])} |" in README
    for found in (one, two):
        assert found.card["command"].replace("0.0003", "3e-4") in README
    words = " ".join(README.split())
    again = read_outcome(EXPERIMENTS / "paper-small.json")
    filled = [said(again.row(name).measured["masked_accuracy"]) for name in ("wid", "soft_targets", "scratch")]
    assert "WID fills in {}%, soft targets {}%, scratch {}%".format(*filled) in words
    assert "H200" in again.card["machine"]
    english, family = read_outcome(EXPERIMENTS / "family-english.json"), read_outcome(EXPERIMENTS / "family.json")
    rows = re.findall(r"^\| ([A-Z][\w, ]+) \| [\d,]+ \| [\d.]+ ± ", README, re.MULTILINE)
    assert len(rows) == 10
    for row in (row for row in family.rows if row.label in rows):
        cells = [(f"{one.parameters:,}", said(one.measured["retained"])) for one in (row, english.row(row.name))]
        assert f"| {' | '.join([row.label, *cells[0], *cells[1]])} |" in README
    for found in (english, family):
        assert f"{found.row('teacher').parameters:,}" in words
    stuck = english.row("soft-targets").measured
    slower = english.row("soft-targets-slower").measured["retained"]
    assert f"at 5e-4 they keep {said(slower)}%" in words
    assert stuck["masked_accuracy"].mean < english.nulls["masked_accuracy"]
    assert english.row("distilbert").parameters > english.row("wid").parameters
