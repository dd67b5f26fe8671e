"""What heads do: attention is read in the right cells, and the nulls are what they are called."""

import dataclasses

import numpy as np
import pytest

from engine.inspection.head_roles import (
    PATTERNS,
    GoldAttention,
    best_head,
    gold_attention,
    gold_stories,
    positional_attention,
)
from engine.learning.held_out import attention_maps, held_out_rows
from engine.teachers.catalog import load_teacher
from engine.text import microworld
from engine.text.microworld import Document, Relation
from engine.text.sources import document_hash, find_source
from tests.fixtures.relation_attention import relation_attention


@pytest.fixture(scope="module")
def teacher():
    """The shipped microworld teacher."""
    return load_teacher("microworld")


@pytest.mark.parametrize("hidden", [False, True])
def test_gold_cells_are_the_same_as_one_sentence_at_a_time(teacher, hidden) -> None:
    """Harm: batching, padding or sorting mixes up whose attention is read."""
    stories = gold_stories(20)
    found = gold_attention(teacher.bert, teacher.tokenizer, stories, hide_source=hidden)
    expected = relation_attention(teacher.bert, teacher.tokenizer, stories, hide_source=hidden)
    assert set(found) == set(expected) == set(microworld.RELATIONS)
    for name, gold in found.items():
        np.testing.assert_allclose(gold.means, expected[name], atol=1e-5)
        cases = [(s, r) for s, story in enumerate(stories) for r in story.relations if r.name == name]
        assert sorted(gold.story) == [story for story, _ in cases]
        assert sorted(gold.offset) == sorted(relation.target - relation.source for _, relation in cases)
        even = [1 / (len(stories[story].words) - 1) for story, _ in cases]
        np.testing.assert_allclose(sorted(gold.uniform), sorted(even))


def test_stories_are_held_out() -> None:
    """Harm: a student shows what it has learned by heart."""
    training = set()
    for text, _ in zip(find_source("microworld").read(), range(300), strict=False):
        if document_hash(text) % 10:
            training.add("\n".join(text))
    stories = gold_stories(12)
    assert len(stories) == 12
    assert not {"\n".join(" ".join(words) for words in story.sentences) for story in stories} & training


def test_words_of_several_tokens_look_and_are_looked_at_as_one(teacher) -> None:
    """Harm: with another tokenizer the first piece of a word stands for the word, or positions are off by some."""

    class Pieces:
        """Cuts every word into its first token and a second one."""

        def __init__(self, real):
            self.real, self.pad_token_id, self.mask_token_id = real, real.pad_token_id, real.mask_token_id

        def __call__(self, words, is_split_into_words):
            ids = self.real.convert_tokens_to_ids(words)
            pieces = [piece for word in ids for piece in (word, 5)]
            found = {"input_ids": [self.real.cls_token_id, *pieces, self.real.sep_token_id]}

            class Encoding(dict):
                def word_ids(self):
                    return [None, *(place // 2 for place in range(2 * len(words))), None]

            return Encoding(found)

    words = ["the", "girl", "washes", "herself", "."]
    document = Document("sea", [words], [Relation("reflexive", 3, 1)])
    tokenizer = Pieces(teacher.tokenizer)
    found = gold_attention(teacher.bert, tokenizer, [document])["reflexive"].mass[0]
    ids = np.array([tokenizer(words, is_split_into_words=True)["input_ids"]])
    (maps,) = attention_maps(teacher.bert, ids, tokenizer.pad_token_id)
    for layer, heads in enumerate(maps):
        expected = (heads[:, 7, 3] + heads[:, 7, 4] + heads[:, 8, 3] + heads[:, 8, 4]) / 2
        np.testing.assert_allclose(found[layer], expected, rtol=1e-5)


def test_the_best_head_is_chosen_on_one_half_and_measured_on_the_other() -> None:
    """Harm: the best of a hundred random heads looks as if it knew grammar."""
    rng = np.random.default_rng(0)
    noise = GoldAttention(rng.random((60, 4, 12)), np.arange(60), np.full(60, 0.5), rng.choice([-1, -1, 3], 60))
    best = best_head(noise)
    assert best is not None
    assert best.value < noise.mass[::2].mean(0).max() - 0.01
    assert abs(best.value - 0.5) < 2 * best.interval
    assert best.offset == -1
    assert best.at_offset == pytest.approx((noise.offset[1::2] == -1).mean())
    assert best.cases == 30
    assert best_head(dataclasses.replace(noise, story=np.zeros(60, int))) is None


def test_positions_are_counted_in_plain_loops(teacher) -> None:
    """Harm: 'previous' is next, or [SEP]'s own attention is taken for a word's."""
    rows = held_out_rows("microworld", teacher.tokenizer, 64, 5)
    found = positional_attention(teacher.bert, rows, teacher.tokenizer)
    special = set(teacher.tokenizer.all_special_ids)
    sums = {name: np.zeros((4, 4)) for name in PATTERNS}
    even, words = dict.fromkeys(PATTERNS, 0.0), 0
    for row, maps in zip(rows, attention_maps(teacher.bert, rows, teacher.tokenizer.pad_token_id), strict=True):
        ids = [int(token) for token in row if token != teacher.tokenizer.pad_token_id]
        for place, token in enumerate(ids):
            if token in special:
                continue
            words += 1
            goals = {
                "previous": [place - 1],
                "next": [place + 1],
                "self": [place],
                "first": [0],
                "separator": [at for at, it in enumerate(ids) if it == teacher.tokenizer.sep_token_id],
            }
            for name, at in goals.items():
                sums[name] += np.array([[head[place, at].sum() for head in layer] for layer in maps])
                even[name] += len(at) / len(ids)
    for name in PATTERNS:
        np.testing.assert_allclose(found[name][0], sums[name] / words, atol=1e-5)
        assert found[name][1] == pytest.approx(even[name] / words)
