"""Uploads: corpus files that a person brought through the app, kept in a folder of the project's own."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePosixPath

from engine.settings.error_text import disk_reason
from engine.storage.atomic import whole_file
from engine.text.text_files import file_kind
from engine.text.token_store import CorpusError

MAX_UPLOAD_MB = 10  # the app's server takes no larger ones (maxUploadSize in .streamlit/config.toml)


def save_upload(folder: Path, name: str, content: bytes) -> Path:
    """Writes `content` into `folder` under a harmless form of `name`; where it is now.

    The same content under the same name is kept once. Nothing of `name` but letters, digits, . _ and - survives.

    Raises:
        CorpusError: it is empty, too large, of a kind that cannot be read, or the disk does not take it.
    """
    base = PurePosixPath(name.replace("\\", "/")).name
    suffix = file_kind(base)
    if not content:
        raise CorpusError(f"{base[-40:]!r} is empty; choose a file with text in it.")
    if len(content) > MAX_UPLOAD_MB * 1_000_000:
        raise CorpusError(
            f"{base[-40:]!r} has {len(content) / 1e6:,.1f} MB, and {MAX_UPLOAD_MB} MB is the most that is taken here; "
            "name it as file:PATH instead."
        )
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", base[: -len(suffix)]).strip("-")[:60] or "text"
    mark = hashlib.blake2b(content, digest_size=4).hexdigest()
    path = folder / f"{stem}-{mark}{suffix}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as draft:
            draft.write_bytes(content)
    except OSError as error:
        raise CorpusError(f"The server does not take the file: {disk_reason(error)}; free some space.") from error
    return path
