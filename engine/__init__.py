"""Heirloom's engine: BERT compression as a plain Python package. Knows nothing of the app."""

import os

from engine.settings.project import VERSION

__version__ = VERSION

# On a shared machine torch's OpenMP threads spin while they wait for one another: with one other busy process on two
# cores a training step took 2.0 s instead of 0.18. Waiting briefly and then sleeping takes 0.36 s (see
# log/speed.md, 2026-11-22).
# It has to be set before torch is first imported.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
