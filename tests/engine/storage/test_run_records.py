"""Cards and events are what their readers count on, or are refused with what is wrong."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from engine.storage.run_records import ALLOWED_ON_CARDS, NEEDED_ON_CARDS, RunRecordError, check_card, event_problem

OLD = Path(__file__).parents[2] / "fixtures" / "runs_2026_11"
CARDS = [json.loads(path.read_text()) for path in sorted(OLD.glob("*/card.json"))]
STRANGE: list[Any] = [7, -1, 10**400, float("inf"), float("nan"), "x", [], [1], True, {"a": []}, "x" * 30_000]


def complaint(card: dict[str, Any]) -> str:
    """What is wrong with the card; nothing where it passes."""
    try:
        check_card(card)
    except RunRecordError as error:
        return str(error)
    return ""


def test_every_card_and_event_that_was_ever_written_passes() -> None:
    """Harm: a check that is stricter than the engine hides a person's own runs from them."""
    for card in CARDS:
        check_card(card)
    for path in OLD.glob("*/events.jsonl"):
        for line in path.read_text().splitlines():
            assert event_problem(json.loads(line)) == "", line[:200]


@pytest.mark.parametrize("name", [*NEEDED_ON_CARDS, *ALLOWED_ON_CARDS])
def test_a_field_of_another_kind_is_named(name: str) -> None:
    """Harm: a card with "options": 7 or tokens beyond all reason ends Build and train, which only looked at it."""
    card = copy.deepcopy(CARDS[-1])
    told = [words for value in STRANGE if (words := complaint({**card, name: value}))]
    assert len(told) >= 5
    assert all(repr(name) in words and len(words) < 200 for words in told)
    if name in NEEDED_ON_CARDS:
        with pytest.raises(RunRecordError, match=f"has no '{name}'"):
            check_card({key: value for key, value in card.items() if key != name})


def test_scores_are_those_of_the_card_s_own_kind() -> None:
    """Harm: a card of a task with scores of masked words ends the page that divides them."""
    card = next(card for card in CARDS if card["measure"]["name"] == "grammar")
    with pytest.raises(RunRecordError, match="grammar_accuracy"):
        check_card({**card, "scores": {"retained": 0.5}})
    with pytest.raises(RunRecordError, match="retained"):
        check_card({**card, "scores": {**card["scores"], "retained": None}})
    measured = copy.deepcopy(card["measured"])
    measured["student"] = {**measured["student"], "compressed_bytes": 5, "zeros": None}
    assert "zeros" in complaint({**card, "measured": measured})
