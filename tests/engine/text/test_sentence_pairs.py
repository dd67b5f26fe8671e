"""Sentence pairs: told again from the documents that they were made of."""

import numpy as np
import pytest
import torch

from engine.text.masking import Masking
from engine.text.sentence_pairs import open_pairs
from engine.text.sources import SOURCES
from engine.text.token_store import CorpusError
from tests.fixtures.builders import source_of, tokenizer

pytestmark = pytest.mark.usefixtures("few_held_out")
NOUNS = sorted(word for word in tokenizer().get_vocab() if word.isalpha())[:180]


def story(index):
    """A document whose every sentence says which one it is: document `index`, sentence by sentence."""
    return [f"{NOUNS[index]} {NOUNS[place]} {NOUNS[place]} ." for place in range(1 + index % 9)]


@pytest.fixture
def stories(monkeypatch):
    """A corpus of 150 documents of one to nine sentences."""
    monkeypatch.setitem(SOURCES, "stories", source_of([story(index) for index in range(150)]))


def told(batch):
    """Of each row: ((document, first sentence, last sentence) of both segments), read off its true tokens."""
    speaker, found = tokenizer(), []
    ids = batch.ids.clone()
    ids.view(-1)[batch.positions] = batch.targets
    for row, types, visible in zip(ids, batch.types, batch.visible, strict=True):
        row, types = row[visible].tolist(), types[visible].tolist()
        assert (row[0], row[-1]) == (speaker.cls_token_id, speaker.sep_token_id)
        middle = row.index(speaker.sep_token_id)
        assert types == [0] * (middle + 1) + [1] * (len(row) - middle - 1)
        segments = []
        for part in (row[1:middle], row[middle + 1 : -1]):
            words = speaker.convert_ids_to_tokens(part)
            lines = [words[at : at + 4] for at in range(0, len(words), 4)]
            assert all(len(line) == 4 and line[1] == line[2] and line[3] == "." for line in lines), "a sentence was cut"
            documents = {NOUNS.index(line[0]) for line in lines}
            places = [NOUNS.index(line[1]) for line in lines]
            assert len(documents) == 1
            assert places == list(range(places[0], places[0] + len(places)))
            segments.append((documents.pop(), places[0], places[-1]))
        found.append(tuple(segments))
    return found


@pytest.mark.usefixtures("stories")
@pytest.mark.parametrize("kind", ["sop", "nsp"])
def test_a_label_says_what_the_text_is(kind):
    """Harm: a sentence-order head learns from coin tosses, or from pairs that never stood together."""
    pairs = open_pairs("stories", tokenizer(), 27, 500, kind)
    seen, labels = [], []
    for batch in (*(pairs.batch(step, 16, 0) for step in range(40)), *pairs.held_out_batches(16)):
        seen += told(batch)
        labels += batch.labels.tolist()
    assert 0.4 < np.mean(labels) < 0.6
    for (one, two), label in zip(seen, labels, strict=True):
        if kind == "sop" and label:
            one, two = two, one
        if kind == "nsp" and label:
            assert one[0] != two[0]
        else:
            assert one[0] == two[0]
            assert two[1] == one[2] + 1, "two neighbours"
    assert max(two[2] - two[1] for _, two in seen) >= 1  # segments, not single sentences


@pytest.mark.usefixtures("stories")
def test_held_out_documents_stay_out_of_training_pairs():
    """Harm: the accuracy of a pair head is a memory test; or NSP's wrong halves let held-out text in."""
    pairs = open_pairs("stories", tokenizer(), 27, 500, "nsp")
    training = {part[0] for step in range(60) for pair in told(pairs.batch(step, 16, 0)) for part in pair}
    held_out = {part[0] for batch in pairs.held_out_batches() for pair in told(batch) for part in pair}
    assert len(training) > 80
    assert len(held_out) > 5
    assert not training & held_out


@pytest.mark.usefixtures("stories")
def test_pairs_follow_the_seed_and_the_step():
    """Harm: a resumed run learns from other pairs than an uninterrupted one."""
    one, two = (open_pairs("stories", tokenizer(), 27, 500, "sop", Masking("ngram")) for _ in range(2))
    for name, tensor in vars(one.batch(7, 8, 3)).items():
        assert torch.equal(tensor, getattr(two.batch(7, 8, 3), name)), name
    assert told(one.batch(0, 64, 0)) != told(one.batch(0, 64, 1))
    assert told(one.batch(0, 64, 0)) != told(one.batch(1, 64, 0))
    starts = [pair for step in range(8) for pair in told(one.batch(step, 8, 0))]
    assert len(set(starts)) == len(starts)  # nothing twice in the first 64


@pytest.mark.usefixtures("stories")
def test_the_parts_of_a_pair_batch_are_its_rows():
    """Harm: micro-batches with another's labels."""
    batch = open_pairs("stories", tokenizer(), 27, 500, "sop").batch(0, 7, 0)
    parts = batch.split(3)
    for name in ("ids", "visible", "types", "labels", "targets"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(batch, name)), name
    assert batch.to("cpu") is batch


def test_what_cannot_be_paired_is_refused(monkeypatch):
    """Harm: an error deep in numpy for a list of single sentences."""
    with pytest.raises(CorpusError, match="sop or nsp"):
        open_pairs("microworld", tokenizer(), 27, 10, "both")
    monkeypatch.setitem(SOURCES, "single", source_of([story(index * 9) for index in range(19)] * 3))
    with pytest.raises(CorpusError, match="No document of single has two sentences"):
        open_pairs("single", tokenizer(), 27, 10, "sop")
