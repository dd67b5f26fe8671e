"""Fixtures that several engine tests share."""

import pytest


@pytest.fixture(scope="module")
def few_held_out():
    """Scores over 32 held-out rows instead of 512, so that a whole run takes a second."""
    from engine import corpora

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpora, "HELD_OUT_ROWS", 32)
        yield
