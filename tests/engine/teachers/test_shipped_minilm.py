"""The shipped adapters: small, as good as their cards say, and near the original."""

import json
import os
from pathlib import Path

import nltk
import pytest

from engine.learning.closeness import closeness
from engine.learning.masked_lm import masked_lm_report
from engine.settings.device import pick_device
from engine.sizing.cost import parameters
from engine.teachers import shipped
from engine.teachers.catalog import load_teacher, teacher_card
from engine.text.corpora import open_corpus

HERE = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("NLTK_DATA") or HERE.parent / "shared" / "nltk_data")
CARDS = {name: json.loads((folder / "card.json").read_text()) for name, (_, folder) in shipped.ADAPTERS.items()}


@pytest.mark.parametrize("name", CARDS)
def test_it_is_small_and_its_teacher_is_whole(name):
    """Harm: a checkout of forty megabytes; or a card that counts the adapter beside the model it is part of."""
    assert (shipped.ADAPTERS[name][1] / "adapter.safetensors").stat().st_size < 5_000_000
    card = teacher_card(name)
    assert card.has_head
    assert parameters(card.shape) == 22_744_506
    assert card.scores["masked_accuracy"] >= 0.30
    assert card.scores["masked_accuracy"] > 5 * card.scores["original_masked_accuracy"]


def test_the_better_one_has_the_plain_name():
    """Harm: whoever asks for minilm gets the one that is kept for what it taught."""
    early, late = (CARDS[name]["scores"]["masked_accuracy"] for name in ("minilm-early", "minilm"))
    assert late > early


@pytest.fixture(scope="module")
def text():
    """Held-out rows of the text that it learned from, which it has not seen."""
    if not (DATA / "corpora" / "brown.zip").exists():
        pytest.skip("NLTK's texts are not on this machine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nltk.data, "path", [str(DATA)])
        yield open_corpus(CARDS["minilm"]["corpus"], load_teacher("minilm").tokenizer, 64, 1, held_out_rows=192)


@pytest.mark.parametrize("name", CARDS)
def test_it_is_as_good_and_as_near_as_its_card_says(text, name):
    """Harm: a card of another adapter, or a file that was damaged on its way."""
    adapted, original = load_teacher(name).bert.eval(), load_teacher("minilm-original").bert.eval()
    found = masked_lm_report(adapted, text, pick_device("cpu"))["accuracy"]
    assert abs(found["value"] - CARDS[name]["scores"]["masked_accuracy"]) < 2 * found["interval"]
    near = closeness(adapted, original, text, pick_device("cpu"), rows=32)
    for measure, value in near.items():
        assert value == pytest.approx(CARDS[name]["scores"][measure], abs=0.05), measure
