"""The cache: where the folder of what can be made again lies, and digests of contents, by which things are found there.

What may not be lost is no business of a cache: see engine/storage/runs.py. No torch.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.storage.atomic import write_json
from engine.storage.json_file import read_json_object

RECENT_CHANGE_S = 2.0  # a file changed this recently may change again with neither its size nor its time telling


def cache_folder() -> Path:
    """Where things are kept: $HEIRLOOM_CACHE, else a folder of ours in the user's own cache. Creates nothing.

    Raises:
        RuntimeError: the user has no home folder.
    """
    if chosen := os.environ.get("HEIRLOOM_CACHE"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "heirloom" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "heirloom"
    chosen = os.environ.get("XDG_CACHE_HOME", "")  # a relative one is to be ignored, says its specification
    return (Path(chosen) if os.path.isabs(chosen) else Path.home() / ".cache") / "heirloom"


def writable_cache_folder(name: str) -> Path:
    """The folder `name` of the cache, made if need be; where none can be written, one that goes with this process."""
    try:
        folder = cache_folder() / name
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, RuntimeError):
        folder = Path(_temporary_folder().name) / name
        folder.mkdir(exist_ok=True)
    return folder


@functools.cache
def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="heirloom-", ignore_cleanup_errors=True)


def digest(facts: Any) -> str:
    """A name for `facts`, which are JSON: the same for the same, another for others."""
    return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=20).hexdigest()


def file_digest(paths: Sequence[Path]) -> str:
    """A name for the contents of the files `paths`, in their order.

    They are read again only when the path, the size or the time of change of one is new.

    Raises:
        OSError: a file cannot be read.
    """
    stats = [path.stat() for path in paths]
    facts = [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in zip(paths, stats, strict=True)]
    note = writable_cache_folder("digests") / f"{digest(facts)}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):  # not known yet, or the note is damaged
        return str(read_json_object(note)["contents"])
    contents = []
    for path in paths:
        with path.open("rb") as file:
            contents.append(hashlib.file_digest(file, "blake2b").hexdigest())
    if time.time() - max((stat.st_mtime for stat in stats), default=0.0) > RECENT_CHANGE_S:
        with suppress(OSError):
            write_json(note, {"contents": digest(contents)})
    return digest(contents)
