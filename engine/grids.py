"""The experiments that are grids, one line each."""

from __future__ import annotations

from engine.albert_tables import ALBERT_TABLES
from engine.family import FAMILY, FAMILY_ENGLISH
from engine.grid import Grid

GRIDS: dict[str, Grid] = {grid.name: grid for grid in (FAMILY, FAMILY_ENGLISH, *ALBERT_TABLES)}
