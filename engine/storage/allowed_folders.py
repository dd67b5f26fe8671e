"""The folders that may be read, and whether a path stays inside them.

A config or a link can come from anywhere, so a path in the name of a teacher or a corpus is followed only into these.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from engine.settings.project import WORKPLACE

UPLOADS = Path(os.environ.get("HEIRLOOM_UPLOADS", WORKPLACE / "uploads"))  # may be read

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
    except (OSError, RuntimeError) as error:  # a loop of links, or no home folder
        raise PathError(f"The path {path[:200]!r} cannot be followed: {error}.") from error
    allowed = allowed_roots()
    if not any(real.is_relative_to(root) for root in allowed):
        raise PathError(
            f"{real} lies outside of the folders that may be read ({', '.join(map(str, allowed))}); move it there, "
            "or name its folder in HEIRLOOM_ROOTS."
        )
    return real
