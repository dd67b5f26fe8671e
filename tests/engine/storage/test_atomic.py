"""What is on the disk is complete or not there, whatever happens to who writes it."""

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from engine.settings.project import PROJECT
from engine.storage import atomic
from engine.storage.atomic import clear_drafts, whole_file, whole_folder, write_json


class PowerCut(BaseException):
    """Nothing that any code catches by name."""


def names(folder: Path) -> list[str]:
    """Everything in `folder`, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def fill(folder: Path, text: str) -> None:
    """Two files, one of them in a folder below, that say the same."""
    with whole_folder(folder) as draft:
        (draft / "one").write_text(text)
        (draft / "below").mkdir()
        (draft / "below" / "two").write_text(text)


def said(folder: Path) -> set[str]:
    """What the files in `folder` say: one text, if they belong together."""
    return {path.read_text() for path in folder.rglob("*") if path.is_file()}


def killed(body: str, place: Path) -> None:
    """Runs `body` in a process that ends, by `dies`, without a chance to tidy up."""
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom engine.storage import atomic\n"
        f"dies, place = lambda *a, **k: os._exit(9), Path(sys.argv[1])\n{body}"
    )
    done = subprocess.run([sys.executable, "-c", code, str(place)], cwd=PROJECT, check=False)
    assert done.returncode == 9


@pytest.mark.parametrize("moment", ["block", "disk", "rename"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), PowerCut()])
def test_a_failing_writer_leaves_the_old_file_and_no_draft(tmp_path, monkeypatch, moment, error) -> None:
    """Harm: a full disk while the card is rewritten destroys the only record of a run; or drafts that fill the disk."""
    path = tmp_path / "card.json"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise error

    if moment != "block":
        monkeypatch.setattr(atomic.os, {"disk": "fsync", "rename": "replace"}[moment], fail)

    def write() -> None:
        with whole_file(path) as draft:
            draft.write_text("half of the n")
            if moment == "block":
                fail()

    with pytest.raises(type(error)):
        write()
    assert names(tmp_path) == ["card.json"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("moment", ["block", "disk", "first rename", "second rename"])
def test_a_failing_writer_leaves_the_old_folder_and_no_draft(tmp_path, monkeypatch, moment) -> None:
    """Harm: the student of the run before is gone, and the new one is not there."""
    folder = tmp_path / "student"
    fill(folder, "old")
    replace = os.replace

    def fail(*_: object) -> None:
        raise PowerCut

    def second_fails(source: Path, target: Path) -> None:
        fail() if ".draft" in str(source) else replace(source, target)

    patches = {"disk": ("fsync", fail), "first rename": ("replace", fail), "second rename": ("replace", second_fails)}
    if moment in patches:
        monkeypatch.setattr(atomic.os, *patches[moment])

    def write() -> None:
        with whole_folder(folder) as draft:
            (draft / "one").write_text("new")
            if moment == "block":
                fail()

    with pytest.raises(PowerCut):
        write()
    if moment == "first rename":  # then not even the way back works, and nothing was moved
        monkeypatch.undo()
    assert names(tmp_path) == ["student"]
    assert said(folder) == {"old"}


def test_a_block_that_writes_nothing_replaces_nothing(tmp_path) -> None:
    """Harm: an empty file in the place of a good one, because a library wrote under a name of its own choice."""
    path = tmp_path / "maps.npz"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), whole_file(path):
        pass
    assert names(tmp_path) == ["maps.npz"]
    assert path.read_text() == "old"


def test_everything_is_on_the_disk_before_others_see_it(tmp_path, monkeypatch) -> None:
    """Harm: after a power cut a file of the right name and of zeros."""
    order: list[str] = []
    sync, replace = os.fsync, os.replace

    def noted_sync(number: int) -> None:
        order.append("sync")
        sync(number)

    def noted_replace(source: Path, target: Path) -> None:
        order.append("rename")
        replace(source, target)

    monkeypatch.setattr(atomic.os, "fsync", noted_sync)
    monkeypatch.setattr(atomic.os, "replace", noted_replace)
    write_json(tmp_path / "a.json", {})
    assert order[:2] == ["sync", "rename"]
    assert set(order[2:]) <= {"sync"}  # of the folder, where the system has that
    del order[:]
    fill(tmp_path / "folder", "new")
    assert order[: order.index("rename")].count("sync") >= 2  # both files


def test_two_writers_of_one_file_do_not_meet(tmp_path) -> None:
    """Harm: two tabs save one upload at once; one takes the other's draft away, and one of them fails."""
    path = tmp_path / "text.txt"
    with whole_file(path) as first, whole_file(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # whoever ends last
    assert names(tmp_path) == ["text.txt"]


def test_two_writers_of_one_folder_do_not_meet(tmp_path) -> None:
    """Harm: a folder with the card of one model and the weights of another; or an error, though nothing is wrong."""
    folder = tmp_path / "student"
    errors: list[BaseException] = []

    def write(text: str) -> None:
        try:
            for _ in range(20):
                fill(folder, text)
        except BaseException as error:
            errors.append(error)

    writers = [threading.Thread(target=write, args=(text,)) for text in ("first", "second", "third")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not errors
    assert len(said(folder)) == 1
    assert names(tmp_path) == ["student"]


def test_another_writer_between_the_two_renames_is_replaced(tmp_path, monkeypatch) -> None:
    """Harm: the same, in the one moment that threads seldom find."""
    folder, replace = tmp_path / "student", os.replace
    fill(folder, "old")

    def interrupted(source: Path, target: Path) -> None:
        replace(source, target)
        monkeypatch.setattr(atomic.os, "replace", replace)
        fill(folder, "other")

    monkeypatch.setattr(atomic.os, "replace", interrupted)
    fill(folder, "new")
    assert said(folder) == {"new"}
    assert names(tmp_path) == ["student"]


def test_a_reader_never_sees_half(tmp_path) -> None:
    """Harm: a page reads a file in the moment it is rewritten, and reports it as damaged."""
    path = tmp_path / "card.json"
    write_json(path, ["0"] * 5000)
    ended = threading.Event()

    def rewrite() -> None:
        for digit in range(40):
            write_json(path, [str(digit)] * 5000)
        ended.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    seen = set()
    while not ended.is_set():
        found = json.loads(path.read_bytes())
        assert len(found) == 5000
        seen |= set(found)
    writer.join()
    assert seen


def test_an_interrupted_replacement_of_a_folder_is_brought_back(tmp_path) -> None:
    """Harm: a process is killed between the two renames, and the finished student is lost under a hidden name."""
    folder = tmp_path / "student"
    fill(folder, "old")
    # the second of the two renames kills it
    killed(
        "real = os.replace\n"
        "atomic.os.replace = lambda a, b: dies() if '.draft' in str(a) else real(a, b)\n"
        "with atomic.whole_folder(place) as draft: (draft / 'one').write_text('new')",
        folder,
    )
    assert not folder.exists()
    assert len(names(tmp_path)) == 2
    clear_drafts(tmp_path)
    assert names(tmp_path) == ["student"]
    assert said(folder) == {"old"}


def test_drafts_of_the_killed_are_cleared_and_nothing_else(tmp_path) -> None:
    """Harm: every kill leaves an optimizer state behind for ever; or tidying takes what somebody is writing."""
    killed("with atomic.whole_folder(place) as draft: (draft / 'one').write_text('x'); dies()", tmp_path / "student")
    killed("with atomic.whole_file(place) as draft: draft.write_text('x'); dies()", tmp_path / "card.json")
    (tmp_path / ".step-000000009.17.draft").mkdir()  # as earlier versions named them
    (tmp_path / ".config").mkdir()
    (tmp_path / ".notes.draft").write_text("a person's own")
    alive = tmp_path / f".page.html.{os.getppid()}-00000000.draft"  # of a process that is at work
    alive.write_text("x")
    (tmp_path / "events.jsonl").write_text("")
    assert len(names(tmp_path)) == 7
    clear_drafts(tmp_path)
    assert names(tmp_path) == sorted([".config", ".notes.draft", alive.name, "events.jsonl"])
    clear_drafts(tmp_path / "absent")


def test_what_is_no_json_is_refused_before_anything_is_written(tmp_path) -> None:
    """Harm: half of a card, up to the value that could not be written."""
    path = tmp_path / "card.json"
    with pytest.raises(TypeError):
        write_json(path, {"shape": object()})
    assert names(tmp_path) == []
    write_json(path, {"sign": "ü"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"sign": "ü"}


def test_nobody_else_renames_into_place() -> None:
    """Harm: an eighth copy of the recipe, which forgets the disk, the draft or the second writer."""
    found = [
        path.relative_to(PROJECT).as_posix()
        for top in ("engine", "app")
        for path in sorted((PROJECT / top).rglob("*.py"))
        if "os.replace(" in path.read_text(encoding="utf-8")
    ]
    assert found == ["engine/storage/atomic.py"]


def test_what_a_killed_process_left_half_done_is_swept(tmp_path, monkeypatch):
    """Harm: every kill leaves an optimizer state behind that nobody reads and nobody removes."""
    whole, lost = tmp_path / "step-000000007", tmp_path / "student"

    def killed(source, target):
        raise KeyboardInterrupt  # at this moment, and with no time to tidy up

    for place, moment in ((whole, "never"), (tmp_path / "step-000000009", "draft"), (lost, "never"), (lost, "swap")):
        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr(atomic.shutil, "rmtree", lambda *args, **settings: None)
            if moment == "draft":
                patch.setattr(atomic.os, "replace", killed)
            with atomic.whole_folder(place) as draft:
                (draft / "made").write_text(moment)
    assert len(list(tmp_path.iterdir())) == 4  # both folders, a draft, and what "student" was before
    (tmp_path / "student").rename(tmp_path / ".gone")  # killed between the two renames of a swap
    atomic.clear_drafts(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {whole.name, lost.name, ".gone"}
    assert (lost / "made").read_text() == "never"
    atomic.clear_drafts(tmp_path)
    assert (whole / "made").exists()
    atomic.clear_drafts(tmp_path / "absent")
