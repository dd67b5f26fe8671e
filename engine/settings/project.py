"""The project itself: its version, where it lies, what it ships, and where what people make is kept.

`pip install` puts this package into site-packages, and everything else into heirloom_app beside it (pyproject.toml).
"""

from __future__ import annotations

from pathlib import Path

VERSION = "0.1.0"
CODE = Path(__file__).resolve().parents[2]  # what Python's path has to hold
INSTALLED = (CODE / "heirloom_app").is_dir()
PROJECT = CODE / "heirloom_app" if INSTALLED else CODE  # the page list, the app and the assets
WORKPLACE = Path.cwd() if INSTALLED else CODE  # runs and uploads lie below it
ASSETS = PROJECT / "assets"
EXPERIMENTS = ASSETS / "experiments"  # what came out of the shipped experiments
