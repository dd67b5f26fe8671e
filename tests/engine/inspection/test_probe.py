"""Looking inside: what comes out belongs to the text that went in, and to the model."""

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from engine.inspection.probe import ProbeError, probe
from engine.model.transformers_format import from_transformers
from engine.settings.transformers_import import bert_tokenizer
from engine.teachers.catalog import load_teacher
from engine.text.microworld import Document, Relation
from tests.fixtures.relation_attention import relation_attention


@pytest.fixture(scope="module")
def teacher():
    """The shipped microworld teacher."""
    return load_teacher("microworld")


def test_hidden_states_and_attentions_are_the_library_s() -> None:
    """Harm: the pictures show something else than the model computes."""
    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c"]
    config = BertConfig(
        vocab_size=8, hidden_size=12, num_hidden_layers=3, num_attention_heads=2, intermediate_size=20,
        max_position_embeddings=16, attn_implementation="eager",
    )  # fmt: skip
    theirs = BertModel(config, add_pooling_layer=False).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, 0, 0.4)
    ours = from_transformers(config.to_dict(), theirs.state_dict())
    seen = probe(ours, bert_tokenizer({word: index for index, word in enumerate(words)}), "a c b a")
    expected = theirs(torch.tensor([[2, 5, 7, 6, 5, 3]]), output_attentions=True, output_hidden_states=True)
    np.testing.assert_allclose(seen.hidden, torch.cat(expected.hidden_states).detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(seen.attentions, torch.cat(expected.attentions).detach().numpy(), atol=1e-5)
    assert seen.tokens == ["[CLS]", "a", "c", "b", "a", "[SEP]"]


def test_rows_are_probabilities(teacher) -> None:
    """Harm: dropout or a missing softmax makes attention add up to something else than all."""
    seen = probe(teacher.bert, teacher.tokenizer, teacher.card.example)
    np.testing.assert_allclose(seen.attentions.sum(-1), 1, atol=1e-5)
    assert seen.attentions.shape == (4, 4, len(seen.tokens), len(seen.tokens))


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_empty_text_is_one_sentence(teacher, text) -> None:
    """Harm: an empty box shows a picture of two special tokens, or a traceback."""
    with pytest.raises(ProbeError, match="type at least one word"):
        probe(teacher.bert, teacher.tokenizer, text)


def test_unknown_words_are_named(teacher) -> None:
    """Harm: a word silently becomes [UNK] and the reader believes that the model knew it."""
    seen = probe(teacher.bert, teacher.tokenizer, "The girl admires quantum <b>boats</b>.")
    assert "quantum" in seen.unknown
    assert "girl" not in seen.unknown


def test_long_text_is_cut_and_says_so(teacher) -> None:
    """Harm: a long text crashes the page, or loses its end without a word."""
    seen = probe(teacher.bert, teacher.tokenizer, "the girl sees the boat . " * 50)
    assert len(seen.tokens) == 64
    assert seen.tokens[-1] == "[SEP]"
    assert seen.cut == 300 + 2 - 64


def test_relation_attention_reads_the_right_cells(teacher) -> None:
    """Harm: source and target are swapped or off by the [CLS] in front, and every figure means something else."""
    words = ["the", "girl", "near", "the", "boats", "washes", "herself", "."]
    document = Document("sea", [words], [Relation("reflexive", 6, 1), Relation("agreement", 5, 1)])
    seen = probe(teacher.bert, teacher.tokenizer, " ".join(words))
    mass = relation_attention(teacher.bert, teacher.tokenizer, [document])
    assert seen.tokens[7] == "herself"
    assert seen.tokens[2] == "girl"
    np.testing.assert_allclose(mass["reflexive"], seen.attentions[:, :, 7, 2], atol=1e-6)
    np.testing.assert_allclose(mass["agreement"], seen.attentions[:, :, 6, 2], atol=1e-6)

    hidden = relation_attention(teacher.bert, teacher.tokenizer, [document], hide_source=True)
    masked = probe(teacher.bert, teacher.tokenizer, "the girl near the boats washes [MASK] .")
    np.testing.assert_allclose(hidden["reflexive"], masked.attentions[:, :, 7, 2], atol=1e-6)
