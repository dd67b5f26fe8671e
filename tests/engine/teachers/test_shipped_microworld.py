"""The shipped microworld teacher is as good as its card says, and looks where the language says one should."""

import itertools

import pytest

from engine.learning.masked_lm import masked_lm_score
from engine.settings.device import pick_device
from engine.teachers.catalog import load_teacher
from engine.text import microworld
from engine.text.corpora import open_corpus
from tests.fixtures.relation_attention import relation_attention

UNSEEN = 777  # the corpus is the language with seed 0
MASS = {"agreement": 0.8, "determiner": 0.85, "reflexive": 0.55, "pronoun": 0.55, "order": 0.45}  # log/teachers.md


@pytest.fixture(scope="module")
def teacher():
    """The teacher as it is shipped."""
    return load_teacher("microworld")


@pytest.fixture(scope="module")
def stories():
    """A hundred stories that are in no training corpus."""
    return list(itertools.islice(microworld.documents(UNSEEN), 100))


def test_its_scores_are_those_on_its_card(teacher) -> None:
    """Harm: the build page praises a teacher that has been replaced."""
    corpus = open_corpus("microworld", teacher.tokenizer, 64, rows=1)
    score = masked_lm_score(teacher.bert, corpus, pick_device("cpu"))
    assert score["accuracy"] == pytest.approx(teacher.card.scores["masked_accuracy"], abs=0.005)
    assert score["loss"] == pytest.approx(teacher.card.scores["masked_loss"], abs=0.005)


def test_it_fills_in_what_can_be_known(teacher) -> None:
    """Harm: a teacher that has not converged, so that whatever a student keeps of it says little. Measured: 0.682."""
    corpus = open_corpus("microworld", teacher.tokenizer, 64, rows=1, held_out_rows=4096)
    score = masked_lm_score(teacher.bert, corpus, pick_device("cpu"))
    assert score["words"] > 18_000
    assert score["accuracy"] > 0.675
    assert score["loss"] < 0.75


def test_it_is_the_shape_that_was_promised(teacher) -> None:
    """Harm: demos and bars speak of 4 x 128 with 4 heads, and something else is shipped."""
    shape = teacher.card.shape
    assert (shape.layers, shape.hidden, shape.heads) == (4, 128, 4)


def test_some_head_looks_at_the_gold_word_when_its_reader_is_hidden(teacher, stories) -> None:
    """Harm: there is nothing to inherit: no head has learned who belongs to whom.

    Measured as in training: the word whose relation it is stands behind [MASK], and the model has to find out.
    """
    mass = relation_attention(teacher.bert, teacher.tokenizer, stories, hide_source=True)
    assert set(mass) == set(microworld.RELATIONS)
    strong = [name for name, heads in mass.items() if heads.max() > 0.5]
    best = {name: float(heads.max()) for name, heads in mass.items()}
    assert len(strong) >= 3, best
    assert all(best[name] > least for name, least in MASS.items()), best


def test_an_untrained_model_looks_nowhere_in_particular(stories) -> None:
    """Harm: the measure finds relations in anything, so that finding them in the teacher says nothing."""
    blank = load_teacher("blank")
    mass = relation_attention(blank.bert, blank.tokenizer, stories[:30], hide_source=True)
    assert max(heads.max() for heads in mass.values()) < 0.15
