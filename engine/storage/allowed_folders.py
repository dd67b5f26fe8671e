"""The folders that may be read, and whether a path stays inside them.

A config or a link can come from anywhere, so a path in the name of a teacher or a corpus is followed only into these.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from engine.settings.error_text import disk_reason
from engine.settings.project import WORKPLACE

UPLOADS = Path(os.environ.get("HEIRLOOM_UPLOADS", WORKPLACE / "uploads"))  # may be read

LONGEST_PATH = 70  # letters
KINDS_WITH_PATH = ("file", "local")


class PathError(ValueError):
    """A path that may not be read, in one sentence."""


def allowed_roots() -> list[Path]:
    """The folders that may be read: $HEIRLOOM_ROOTS, else the working folder and the user's home; always uploads."""
    chosen = [part for part in os.environ.get("HEIRLOOM_ROOTS", "").split(os.pathsep) if part]
    if chosen:
        return [*(Path(part).expanduser().resolve() for part in chosen), UPLOADS.resolve()]
    found = [Path.cwd().resolve(), UPLOADS.resolve()]
    with contextlib.suppress(RuntimeError):  # the user has no home
        found.append(Path.home().resolve())
    return found


def is_file(path: Path) -> bool:
    """Whether a regular file is there; not so is a name that is too long, or a folder that nobody may enter."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether a folder is there; not so is a name that is too long, or one inside of what nobody may enter."""
    try:
        return path.is_dir()
    except OSError:
        return False


def absolute_name(name: str) -> str:
    """A teacher's or corpus's `name` with the path in it, if there is one, made absolute.

    A run may be worked on, or go on later, from another folder.
    """
    kind, colon, path = name.partition(":")
    if not colon or kind not in KINDS_WITH_PATH or not path or path.startswith("~"):
        return name
    return f"{kind}:{os.path.abspath(path)}"  # the file's links are followed when it is read


def allowed_path(path: str) -> Path:
    """The real path behind `path`, symbolic links and .. resolved.

    Raises:
        PathError: it lies outside of the folders that may be read, or is no path at all.
    """
    if "\0" in path or not path.strip():
        raise PathError(f"A path was expected, got {path[:80]!r}.")
    with _followed(path):
        real = Path(path).expanduser().resolve()
    if not any(real.is_relative_to(root) for root in allowed_roots()):
        raise PathError(  # which folders those are, and where a link leads, is no visitor's business
            f"{_shortened(path)} lies outside of the folders that may be read; move it into one of them, or name its "
            "folder in HEIRLOOM_ROOTS."
        )
    with _followed(path):
        real.exists()  # fails for a name that is too long, and in a folder that may not be entered
    return real


@contextlib.contextmanager
def _followed(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, or no home folder
        raise PathError(f"The path {_shortened(path)!r} cannot be followed: {disk_reason(error)[:60]}.") from error


def _shortened(path: str) -> str:
    """A path for a sentence: of a long one its end, which tells it from others."""
    return path if len(path) <= LONGEST_PATH else f"…{path[1 - LONGEST_PATH :]}"
