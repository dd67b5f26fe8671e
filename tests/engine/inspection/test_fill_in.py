"""Blanks filled in: every one of them, with true probabilities, and compared."""

import dataclasses

import numpy as np
import pytest
import torch
import transformers

from engine.inspection.fill_in import blank_agreement, fill_in
from engine.inspection.probe import ProbeError
from engine.model.export import export_model
from engine.model.saved_models import Model
from tests.fixtures.builders import randomise, teacher, tokenizer

TEXT = "The [MASK] near the boats [MASK] herself. She is [MASK]."


def test_every_blank_gets_the_librarys_probabilities(tmp_path):
    """Harm: candidates of the wrong blank, or probabilities that another program does not confirm."""
    bert = teacher()
    export_model(Model(bert, tokenizer(), {}), tmp_path / "out")
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "out", local_files_only=True).eval()
    inputs = tokenizer()(TEXT, return_tensors="pt")
    places = (inputs["input_ids"][0] == tokenizer().mask_token_id).nonzero()[:, 0].tolist()
    expected = theirs(**inputs).logits[0, places].softmax(-1).detach().numpy()
    found = fill_in(bert, tokenizer(), TEXT)
    assert found.blanks == places
    assert len(places) == 3
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)
    for blank in range(3):
        candidates = found.candidates(blank, 4)
        assert [p for _, p in candidates] == pytest.approx(sorted(expected[blank], reverse=True)[:4], abs=1e-5)
        assert candidates[0][0] == found.words[int(expected[blank].argmax())]
        assert candidates[0][1] == pytest.approx(expected[blank].max(), abs=1e-5)


def test_a_text_without_a_blank_or_too_long_says_so():
    """Harm: an empty table; or a blank that was cut off without a word."""
    with pytest.raises(ProbeError, match=r"write \[MASK\]"):
        fill_in(teacher(), tokenizer(), "The girl sleeps.")
    with pytest.raises(ProbeError, match="make it shorter"):
        fill_in(teacher(), tokenizer(), "[MASK] " * 100)
    assert fill_in(teacher(), tokenizer(), "xyzzy [MASK]").unknown == ["xyzzy"]


def test_agreement_is_what_both_believe():
    """Harm: two models that say the same by chance pass for one that learned from the other."""
    mine, other = fill_in(teacher(), tokenizer(), TEXT), fill_in(randomise(teacher(), seed=5), tokenizer(), TEXT)
    assert blank_agreement(mine, mine) == [(True, pytest.approx(1, abs=1e-5))] * 3
    for (same, shared), p, q in zip(blank_agreement(mine, other), mine.probabilities, other.probabilities, strict=True):
        assert same == (p.argmax() == q.argmax())
        assert shared == pytest.approx(1 - np.abs(p - q).sum() / 2, abs=1e-5)
    fewer = dataclasses.replace(other, words=other.words[:-1])
    with pytest.raises(ProbeError, match="different vocabularies"):
        blank_agreement(mine, fewer)
    torch.testing.assert_close(torch.from_numpy(mine.probabilities.sum(1)), torch.ones(3), rtol=0, atol=1e-5)
