"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any


def write_json(path: Path, obj: Any) -> None:
    """Write so that a crash leaves the old file or the new one, never half. Raises TypeError, ValueError, OSError."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("x", encoding="utf-8") as file:
            file.write(json.dumps(obj, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)  # the one step others can see
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
