"""Which of its teacher's layers a shallower student starts from."""

import pytest
import torch

from tests.fixtures.lesson import Lesson


@pytest.mark.parametrize(
    ("which", "layers"),
    [
        ({"layers_from": "spread"}, [0, 2, 5]),
        ({"layers_from": "every"}, [1, 3, 5]),
        ({"layers_from": "first"}, [0, 1, 2]),
        ({"layers_from": "last"}, [3, 4, 5]),
        ({"layers_from": "listed", "layer_list": "1, 2,6"}, [0, 1, 5]),
    ],
)
def test_a_shallower_student_inherits_the_layers_it_was_promised(which, layers):
    """Harm: "first and last kept" on the page, something else in the weights."""
    lesson = Lesson({"layers": 6}, {"layers": 3}, which)
    for own, theirs in enumerate(layers):
        for mine, other in zip(lesson.heir.inherited.blocks(own), lesson.bert.blocks(theirs), strict=True):
            assert all(torch.equal(p, q) for p, q in zip(mine.parameters(), other.parameters(), strict=True))
