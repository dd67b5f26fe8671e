"""The folders that may be read, and whether a path stays inside them.

A config or a link can come from anywhere, so a path in the name of a teacher or a corpus is followed only into these.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from engine.settings.error_text import disk_reason
from engine.settings.project import PROJECT

UPLOADS = Path(os.environ.get("HEIRLOOM_UPLOADS", PROJECT / "uploads"))  # may be read

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
    try:
        real = Path(path).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, or no home folder
        raise PathError(f"The path {path[:200]!r} cannot be followed: {disk_reason(error)}.") from error
    if not any(real.is_relative_to(root) for root in allowed_roots()):
        raise PathError(  # which folders those are, and where a link leads, is no visitor's business
            f"{path[:200]} lies outside of the folders that may be read; move it into one of them, or name its folder "
            "in HEIRLOOM_ROOTS."
        )
    return real
