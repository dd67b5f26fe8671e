"""Outcomes as tables: they say what was measured, and how."""

import dataclasses

import pytest

from engine.experiments.outcome import (
    differences_from_base,
    read_outcome,
    summarise,
)
from engine.experiments.outcome_table import outcome_markdown, percent, table_cells
from engine.learning.intervals import mean_interval
from engine.settings.project import EXPERIMENTS
from tests.fixtures.outcomes import outcome, row

pytestmark = pytest.mark.usefixtures("english_at_hand")


def test_a_fine_tuned_task_is_not_called_a_probe_s():
    """Harm: 76% by fine-tuning is read as what a linear probe finds in frozen states, or the other way round."""
    tuned, frozen = read_outcome(EXPERIMENTS / "paper-small.json"), read_outcome(EXPERIMENTS / "family-english.json")
    assert "sentence_polarity" in set(tuned.measures) & set(frozen.measures)
    assert "probe" not in outcome_markdown(tuned)
    assert "Polarity of reviews: a linear probe" in outcome_markdown(frozen)


def test_the_table_says_what_the_outcome_says():
    """Harm: the terminal's table rounds a difference to another sign, or hides how unsure it is."""
    base, other = row("base", [0.5, 0.6]), row("other", [0.4, 0.5], base="base", paper=79.0)
    base = dataclasses.replace(base, paper=81.5)
    other = dataclasses.replace(other, differences=differences_from_base(other, base))
    head, rows = table_cells(outcome(base, other))
    assert head[:3] == ["", "parameters", "masked accuracy, %"]
    assert rows[1][:2] == ["other", "1,234"]
    assert rows[1][2] == f"45.0 ± {100 * mean_interval([0.4, 0.5]):.1f}"
    assert rows[1][3] == "-10.0 ± 0.0"
    assert rows[1][-1] == "-2.5"
    assert {
        line.count("|") for line in outcome_markdown(outcome(base, other)).splitlines() if line.startswith("|")
    } == {7}
    assert percent(summarise([-0.0001]), signed=True) == "0.0"
