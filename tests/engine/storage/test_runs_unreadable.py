"""One run that cannot be read is shown as such, and every other goes on."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.settings.run_config import RunConfig
from engine.storage import runs as runs_file
from engine.storage.runs import Run, RunError, create_run, list_runs, open_run
from engine.training import device_queue, find_or_run, job
from engine.training.past_runs import past_runs_like

OLD = Path(__file__).parents[2] / "fixtures" / "runs_2026_11"
PROJECT = Path(__file__).parents[3]
DEEP = "[" * 100_000


def replace_by_folder(path: Path) -> None:
    """A folder in a file's place."""
    path.unlink(missing_ok=True)
    path.mkdir()


def replace_by_pipe(path: Path) -> None:
    """A pipe into which nobody writes."""
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def replace_by_link(path: Path) -> None:
    """A link to what is none of the run's business."""
    path.unlink(missing_ok=True)
    path.symlink_to("/etc/hostname")


def text(words: str) -> Callable[[Path], None]:
    """Other words in the file."""

    def replace(path: Path) -> None:
        path.write_text(words)

    return replace


def card_with(**changes: object) -> Callable[[Path], None]:
    """A card with other values; None takes one out."""

    def change(path: Path) -> None:
        card = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({name: value for name, value in card.items() if value is not None}))

    return change


UNREADABLE: dict[str, tuple[str, Callable[[Path], None]]] = {
    "events are a folder": ("events.jsonl", replace_by_folder),
    "events are a pipe": ("events.jsonl", replace_by_pipe),
    "events are a link": ("events.jsonl", replace_by_link),
    "config is a folder": ("config.json", replace_by_folder),
    "config is a pipe": ("config.json", replace_by_pipe),
    "config is a link": ("config.json", replace_by_link),
    "config is a list": ("config.json", text("[]")),
    "config is deep": ("config.json", text(DEEP)),
    "config has a huge number": ("config.json", text('{"steps": 1' + "0" * 400 + "}")),
    "config is empty": ("config.json", text("")),
    "student is a link": ("student", lambda path: (shutil.rmtree(path), path.symlink_to("/etc"))[0]),
}
DAMAGED_CARDS: dict[str, Callable[[Path], None]] = {
    "folder": replace_by_folder,
    "pipe": replace_by_pipe,
    "list": text("[]"),
    "deep": text(DEEP),
    "huge": card_with(tokens=10**400),
    "infinite": card_with(length=float("inf")),
    "no scores": card_with(scores=None),
    "options": card_with(options=7),
    "text": card_with(training_seconds="1"),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with two whole finished runs."""
    for name in ("wid-finished", "teacher"):
        shutil.copytree(OLD / name, tmp_path / "runs" / name)
    return tmp_path / "runs"


def goes_on(root: Path) -> None:
    """Everything that looks at all runs of a folder works beside what lies there now."""
    begun = time.monotonic()
    whole = {run.id: run for run in list_runs(root)}["wid-finished"]
    assert whole.status() == "finished"
    assert (whole.card() or {})["method"] == "wid"
    config = RunConfig.from_json(whole.config())
    found = find_or_run.find_or_run(config, root, "test", lambda words: None)
    assert found.id == "wid-finished"
    past_runs_like(root, config, "microworld", "none", "", "CPU")
    new = create_run(root, config.to_json(), "new")
    new.append({"kind": "queued"})
    events = list(device_queue.wait_for_device(new, device_queue.run_lock(new, "device-test"), "cpu"))
    assert events == []
    shutil.rmtree(new.path)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("fault", UNREADABLE)
def test_a_run_that_cannot_be_read_says_so_and_harms_nobody(root: Path, fault: str) -> None:
    """Harm: one run's folder of another user, or from a stranger, and nobody can start, list or resume any more."""
    bad = Run(shutil.copytree(OLD / "int8-finished", root / "bad"))
    name, damage = UNREADABLE[fault]
    damage(bad.path / name)
    assert bad.status() == "unreadable"
    problem = bad.problem()
    assert problem.startswith("The run bad cannot be read: its ")
    assert name in problem
    assert str(root) not in problem, "the server's folders are nobody's business"
    assert problem.count(".") <= 3
    assert bad.id in {run.id for run in list_runs(root)}
    with pytest.raises(RunError, match="cannot be read"):
        open_run(root, "bad")
    with pytest.raises(RunError, match="cannot be read"):
        job.resume(bad)
    assert job.stop(bad, grace_s=0.0) == "unreadable"
    goes_on(root)


@pytest.mark.parametrize("fault", DAMAGED_CARDS)
def test_a_damaged_card_is_one_sentence_and_harms_nobody(root: Path, fault: str) -> None:
    """Harm: a finished run's card with "options": 7, or a length of Infinity, ends Build and train for everybody."""
    bad = Run(shutil.copytree(OLD / "int8-finished", root / "bad"))
    DAMAGED_CARDS[fault](bad.card_path)
    with pytest.raises(RunError, match=r"card\.json of run 'bad'") as caught:
        bad.card()
    assert len(str(caught.value)) < 200
    goes_on(root)


def test_another_user_s_run_harms_nobody(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Harm: on a shared folder, one person's private run stops all others' starts."""
    bad = Run(shutil.copytree(OLD / "int8-finished", root / "bad"))
    system_open = os.open

    def refuse(path: object, *rest: object, **more: object) -> int:
        if str(path).startswith(str(bad.events_path)):
            raise PermissionError(13, "Permission denied", str(path))
        return system_open(path, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(runs_file.os, "open", refuse)
    assert bad.status() == "unreadable"
    assert bad.problem() == "The run bad cannot be read: its events.jsonl cannot be opened: Permission denied."
    goes_on(root)


def test_a_link_to_a_run_elsewhere_is_shown_and_not_followed(root: Path, tmp_path: Path) -> None:
    """Harm: a link in the folder of runs shows, stops or overwrites what lies outside of it."""
    shutil.copytree(OLD / "int8-finished", tmp_path / "elsewhere")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "loop").symlink_to(root / "loop")
    (root / "dangling").symlink_to(tmp_path / "nothing")
    assert {run.id for run in list_runs(root)} == {"link", "teacher", "wid-finished"}
    with pytest.raises(RunError, match="its folder is a link"):
        open_run(root, "link")
    goes_on(root)


@pytest.mark.parametrize(
    "id", ["x" * 270, "../wid-finished", "a\0b", "/etc/passwd", "C:\\runs\\x", "\\\\host\\x", "CON", "a/b", "\ud800"]
)
def test_a_hostile_id_is_one_sentence(root: Path, id: str) -> None:
    """Harm: a link with a name of 270 letters, or with .. in it, ends in OSError or outside of the folder."""
    with pytest.raises(RunError, match="There is no run") as caught:
        open_run(root, id)
    assert str(root) not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_the_command_line_lists_them_all(root: Path) -> None:
    """Harm: `engine runs` ends at the first run that cannot be read, and the others are not seen."""
    shutil.copytree(OLD / "int8-finished", root / "bad-events")
    replace_by_folder(root / "bad-events" / "events.jsonl")
    shutil.copytree(OLD / "int8-finished", root / "bad-card")
    card_with(scores=None)(root / "bad-card" / "card.json")
    for flags in ([], ["--json"]):
        command = [sys.executable, "-m", "engine", "runs", "--runs", str(root), *flags]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=60)
        if flags:
            told = {one["id"]: one for one in json.loads(done.stdout)}
            assert told["bad-events"]["status"] == "unreadable"
            assert "has no 'scores'" in told["bad-card"]["problem"]
            assert told["wid-finished"]["card"]
        else:
            assert "its events.jsonl is a folder" in done.stdout
            assert "has no 'scores'" in done.stdout
            assert "retained" in done.stdout
        assert "Traceback" not in done.stderr
