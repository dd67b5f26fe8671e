"""DistilBERT starts from its teacher."""

import pytest
import torch

from engine.methods.registry import METHODS
from engine.sizing.shape import Shape
from tests.fixtures.builders import STEPS, masked_batch

pytestmark = pytest.mark.usefixtures("few_held_out")


def test_distilbert_starts_from_layers_of_its_teacher(knowing):
    """Harm: a student "initialised from the teacher" that is not: with every layer it must compute the same."""
    kind = METHODS["distilbert"]
    method = kind(kind.Options(), STEPS)
    shape = method.student_shape(knowing.shape, {"layers": 2})
    assert shape.token_types == 0
    student, batch = method.init_student(knowing, shape, 0), masked_batch()
    torch.testing.assert_close(student(batch.ids, batch.visible), knowing(batch.ids, batch.visible), rtol=0, atol=1e-5)
    assert method.student_shape(Shape(layers=12), {}).layers == 6
