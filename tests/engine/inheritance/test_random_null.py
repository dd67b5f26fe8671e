"""The null of the inheritance score is what it is said to be."""

import numpy as np

from engine.model.bert import new_bert


def test_a_fresh_bert_looks_evenly():
    """Harm: the null is not the one that is spoken of: a fresh student whose attention is far from even."""
    from engine.inheritance.probe_sentences import sentence_attention, typed_sentences
    from engine.sizing.shape import Shape
    from tests.fixtures.builders import tokenizer

    sentences = typed_sentences(["the girl near the boats washes herself ."], tokenizer())
    shape = Shape(layers=2, hidden=32, heads=4, vocab=len(tokenizer()), positions=64)
    maps = sentence_attention(new_bert(shape, 0).eval(), sentences, "cpu", tokenizer().pad_token_id).maps[0]
    assert np.abs(maps * maps.shape[-1] - 1).max() < 0.2
