"""Heirloom's engine: BERT compression as a plain Python package. Knows nothing of the app.

From Python: `from engine import Shape, count, train, examine, export` (engine/api.py), loaded when asked for.
"""

import os
from typing import TYPE_CHECKING, Any

from engine.settings.project import VERSION

if TYPE_CHECKING:
    from engine.api import Shape, count, examine, export, train

__all__ = ["Shape", "count", "examine", "export", "train"]
__version__ = VERSION

# On a shared machine torch's OpenMP threads spin while they wait for one another: with one other busy process on two
# cores a training step took 2.0 s instead of 0.18. Waiting briefly and then sleeping takes 0.36 s (log/speed.md,
# 2026-11-22). It has to be set before torch is first imported.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def __getattr__(name: str) -> Any:
    """One of the five names, when somebody asks for it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}.")
    from engine.api import Shape, count, examine, export, train

    return {"Shape": Shape, "count": count, "examine": examine, "export": export, "train": train}[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
