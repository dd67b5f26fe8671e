"""Rows of held-out text: what a model does with them is what the library's own model does."""

import numpy as np
import pytest
import torch
from transformers import BertModel

from engine.inspection.layer_similarity import layer_movement
from engine.learning.held_out import attention_maps, held_out_rows, hidden_states, masked_batches
from engine.model.export import export_model
from engine.model.saved_models import Model
from engine.teachers import catalog as teachers
from engine.text.corpora import open_corpus


@pytest.fixture(scope="module")
def teacher():
    """The shipped microworld teacher."""
    return teachers.load_teacher("microworld")


@pytest.fixture(scope="module")
def rows(teacher):
    """Eighteen rows: more than one batch."""
    return held_out_rows("microworld", teacher.tokenizer, 64, 18)


def test_rows_are_held_out_ones_and_sorted(teacher, rows) -> None:
    """Harm: a model is measured on what it was trained on."""
    held_out = open_corpus("microworld", teacher.tokenizer, 64, 1).held_out
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, held_out[:18].tolist()))
    lengths = (rows != teacher.tokenizer.pad_token_id).sum(1)
    assert (np.diff(lengths) >= 0).all()
    assert len(held_out_rows("microworld", teacher.tokenizer, 64, 3)) == 3


def test_states_and_maps_are_those_of_the_exported_model(teacher, rows, tmp_path) -> None:
    """Harm: ALBERT's figure and CKA are drawn of something else than what an export computes; padding is counted."""
    export_model(Model(teacher.bert, teacher.tokenizer, {}), tmp_path / "exported")
    theirs = BertModel.from_pretrained(tmp_path / "exported", attn_implementation="eager", add_pooling_layer=False)
    pad = teacher.tokenizer.pad_token_id
    found = hidden_states(teacher.bert, rows, pad)
    maps = list(attention_maps(teacher.bert, rows, pad))
    states = []
    for row, seen in zip(rows, maps, strict=True):
        ids = torch.tensor(row[row != pad])[None]
        with torch.no_grad():
            expected = theirs.eval()(ids, output_hidden_states=True, output_attentions=True)
        states.append(torch.cat(expected.hidden_states))
        for layer, theirs_of_it in zip(seen, expected.attentions, strict=True):
            np.testing.assert_allclose(layer, theirs_of_it[0].numpy(), atol=2e-5)
    library = torch.cat(states, 1).numpy()
    np.testing.assert_allclose(found, library, atol=5e-5)
    steps = layer_movement(found)
    distance = np.sqrt(np.square(library[1:].astype(float) - library[:-1]).sum(-1))
    np.testing.assert_allclose(steps["l2"], distance, atol=1e-3)
    cosine = (library[1:].astype(float) * library[:-1]).sum(-1)
    cosine /= np.linalg.norm(library[1:], axis=-1) * np.linalg.norm(library[:-1], axis=-1)
    np.testing.assert_allclose(np.cos(np.radians(steps["angle"])), cosine, atol=1e-4)


def test_the_same_words_are_hidden_for_every_model(teacher, rows) -> None:
    """Harm: teacher and student answer different questions, and their difference is called damage."""
    one, other = masked_batches(rows, teacher.tokenizer), masked_batches(rows, teacher.tokenizer)
    assert [len(batch.ids) for batch in one] == [16, 2]
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.ids, b.ids)
        assert torch.equal(a.positions, b.positions)
