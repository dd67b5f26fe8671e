"""Files and folders that are complete or not there at all: every write of the project that must survive a crash.

The one recipe: write a draft beside the place, under a name that nobody else uses; bring it to the disk (fsync); rename
it over the place, which is one step for whoever reads; bring the rename to the disk. When anything goes wrong on the
way, the draft goes and the place is as it was. Knows nothing of what is written. For logs that grow line by line see
Run.append in engine/storage/runs.py.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

# .NAME.PROCESS-RANDOM.draft; before November 2026 .NAME.PROCESS.draft, and OLD for what a folder's draft replaces
_DRAFT = re.compile(r"\.(?P<name>.+)\.(?P<process>\d+)(-[0-9a-f]+)?\.(?P<kind>draft|old)")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A draft's path beside `path`; what the block writes there, and closes, takes the place of `path` when it ends.

    The folder of `path` must be there.

    Raises:
        OSError: the disk refuses. Whatever is raised, in the block too: `path` is as it was, and no draft is left.
    """
    draft = _beside(path, "draft")
    try:
        yield draft
        _to_disk(draft)
        os.replace(draft, path)  # the one step that others can see
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    _folder_to_disk(path.parent)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A draft folder, empty, that takes the place of `folder` with all that is in it when the block ends.

    No system swaps two folders in one step everywhere, so for a moment `folder` may be missing, never incomplete; a
    process that is killed in that moment leaves it to `clear_drafts` to bring the old one back.

    Raises:
        OSError: the disk refuses. Whatever is raised, in the block too: `folder` is as it was, and no draft is left.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft, old = _beside(folder, "draft"), _beside(folder, "old")
    try:
        draft.mkdir()
        yield draft
        for path in draft.rglob("*"):
            _folder_to_disk(path) if path.is_dir() else _to_disk(path)
        _folder_to_disk(draft)
        _swap(draft, folder, old)
    except BaseException:
        if old.exists() and not folder.exists():
            os.replace(old, folder)
        for rest in (draft, old):
            shutil.rmtree(rest, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)  # also while another writer swaps its own in and `folder` is not there
    _folder_to_disk(folder.parent)


def _swap(draft: Path, folder: Path, old: Path) -> None:
    """Puts `draft` in the place of `folder`, and what was there into `old`."""
    while True:
        with suppress(FileNotFoundError):
            os.replace(folder, old)
        try:
            os.replace(draft, folder)
            return
        except OSError:
            if not folder.exists():
                raise
            # another writer has just put its own there: that one is what gets replaced
            shutil.rmtree(old, ignore_errors=True)


def clear_drafts(folder: Path) -> None:
    """Clears what killed processes left half-done in `folder`: drafts go, a folder that was being replaced comes back.

    For the one process that writes folders there, before it begins. Drafts of files stay while their writer lives.
    """
    found = [(path, match) for path in folder.glob(".*") if (match := _DRAFT.fullmatch(path.name))]
    for path, match in found:
        if match["kind"] == "old" and not (folder / match["name"]).exists():
            os.replace(path, folder / match["name"])
    for path, match in found:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif not psutil.pid_exists(int(match["process"])) or int(match["process"]) == os.getpid():
            with suppress(OSError):
                path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Writes `value` to `path` as indented JSON, complete or not at all.

    Raises:
        TypeError, ValueError: `value` is no JSON.
        OSError: the disk refuses.
    """
    text = json.dumps(value, indent=2) + "\n"
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


def _beside(path: Path, kind: str) -> Path:
    """A hidden name beside `path` that no other process and no other call uses."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.{kind}")


def _to_disk(path: Path) -> None:
    """Returns when the bytes of the file `path` are on the disk, and not in the system's memory only."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _folder_to_disk(folder: Path) -> None:
    """The same for the names in `folder`, where the system can: Windows does it by itself, some file systems never."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
