"""MiniLMv2 relates models of unequal heads."""

import pytest

from engine.methods.registry import METHODS
from tests.fixtures.builders import STEPS

pytestmark = pytest.mark.usefixtures("few_held_out")


def test_minilmv2_bridges_different_heads(knowing, corpus):
    """Harm: the one method that needs no equal heads asks for them all the same."""
    kind = METHODS["minilmv2"]
    method = kind(kind.Options(), STEPS)
    shape = method.student_shape(knowing.shape, {"hidden": 24, "heads": 3})
    student = method.init_student(knowing, shape, 0)
    assert method.notes(knowing.shape, shape) == ["It imitates the teacher's layer 2 in 8 relation heads."]
    assert method.heads(32, 24) == 8  # the largest that divides both
    assert all(term.isfinite() for term in method.losses(student, knowing, corpus.batch(0, 8, 0)).values())
