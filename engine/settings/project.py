"""The project itself: its version, where it lies, and what it ships."""

from __future__ import annotations

from pathlib import Path

VERSION = "0.1.0"
PROJECT = Path(__file__).resolve().parents[2]
ASSETS = PROJECT / "assets"
EXPERIMENTS = ASSETS / "experiments"  # what came out of the shipped experiments
