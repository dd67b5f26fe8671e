"""The shipped adapter: small, as good as its card says, and near the original."""

import json
import os
from pathlib import Path

import nltk
import pytest

from engine import shipped, teachers
from engine.closeness import closeness
from engine.corpora import open_corpus
from engine.cost import parameters
from engine.device import pick
from engine.evaluate import masked_lm_report

FOLDER = shipped.ASSETS / "teachers" / "minilm-adapter"
HERE = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("NLTK_DATA") or HERE.parent / "shared" / "nltk_data")
CARD = json.loads((FOLDER / "card.json").read_text())


def test_it_is_small_and_its_teacher_is_whole():
    """Harm: a checkout of forty megabytes; or a card that counts the adapter beside the model it is part of."""
    assert (FOLDER / "adapter.safetensors").stat().st_size < 5_000_000
    card = teachers.card("minilm")
    assert card.has_head
    assert parameters(card.shape) == 22_744_506
    assert card.scores["masked_accuracy"] >= 0.30
    assert card.scores["masked_accuracy"] > 5 * card.scores["original_masked_accuracy"]


@pytest.fixture(scope="module")
def text():
    """Held-out rows of the text that it learned from, which it has not seen."""
    if not (DATA / "corpora" / "brown.zip").exists():
        pytest.skip("NLTK's texts are not on this machine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nltk.data, "path", [str(DATA)])
        yield open_corpus(CARD["corpus"], teachers.load("minilm").tokenizer, 64, 1, held_out_rows=192)


def test_it_is_as_good_and_as_near_as_its_card_says(text):
    """Harm: a card of another adapter, or a file that was damaged on its way."""
    adapted, original = teachers.load("minilm").bert.eval(), teachers.load("minilm-original").bert.eval()
    found = masked_lm_report(adapted, text, pick("cpu"))["accuracy"]
    assert abs(found["value"] - CARD["scores"]["masked_accuracy"]) < 2 * found["interval"]
    near = closeness(adapted, original, text, pick("cpu"), rows=32)
    for name, value in near.items():
        assert value == pytest.approx(CARD["scores"][name], abs=0.05), name
