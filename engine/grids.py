"""The experiments that are grids, one line each."""

from __future__ import annotations

from engine.albert_tables import ALBERT_EMBEDDING, ALBERT_SENTENCE_ORDER, ALBERT_SHARING
from engine.family import FAMILY
from engine.grid import Grid

GRIDS: dict[str, Grid] = {grid.name: grid for grid in (FAMILY, ALBERT_SHARING, ALBERT_EMBEDDING, ALBERT_SENTENCE_ORDER)}
