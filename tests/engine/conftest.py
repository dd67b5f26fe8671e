"""Fixtures that several engine tests share."""

import pytest


@pytest.fixture(scope="module")
def few_held_out():
    """Scores over 32 held-out rows instead of 512, and a task of 200 examples, so that a whole run takes a second."""
    from engine.tasks import catalog
    from engine.text import corpora

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpora, "HELD_OUT_ROWS", 32)
        patch.setattr(catalog, "GRAMMAR_STORIES", 200)
        yield


@pytest.fixture(scope="module")
def corpus(few_held_out):
    """A little of the microworld."""
    from engine.text.corpora import open_corpus
    from tests.fixtures.builders import tokenizer

    return open_corpus("microworld", tokenizer(), 24, 200)


@pytest.fixture(scope="module")
def knowing(corpus):
    """A small teacher, 2 x 32, that has learned the microworld a little."""
    from engine.learning.losses import masked_lm_loss
    from engine.learning.optimizers import adamw
    from tests.fixtures.builders import teacher

    bert = teacher(hidden=32, heads=4, ffn=64)
    optimizer = adamw([(bert, 1e-2)])
    for step in range(60):
        optimizer.zero_grad()
        masked_lm_loss(bert, corpus.batch(step, 16, 0)).backward()
        optimizer.step()
    optimizer.zero_grad()
    return bert.requires_grad_(False)


@pytest.fixture
def english_at_hand(monkeypatch):
    """NLTK's corpora count as being on this machine, for who only asks whether a run could be started."""
    from engine.text import sources

    monkeypatch.setattr(sources, "_nltk_reader", lambda name: object())


@pytest.fixture
def easy(monkeypatch):
    """A task that one word decides, in the place of grammar."""
    import dataclasses

    from engine.tasks import catalog
    from tests.fixtures.easy_task import EASY

    task = dataclasses.replace(EASY, name="grammar")
    monkeypatch.setitem(catalog.TASKS, "grammar", task)
    return task


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The only folder that may be read."""
    monkeypatch.setenv("HEIRLOOM_ROOTS", str(tmp_path))
    return tmp_path
