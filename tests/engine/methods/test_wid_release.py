"""WID as the authors' release does it: it ends where it should, or is refused with what would fit."""

import pytest
import torch

from engine.methods.wid import Wid, WidOptions
from engine.settings.options import parse_options
from engine.sizing.shape import Shape, ShapeError
from tests.fixtures.lesson import RELEASE, Lesson, logits


@pytest.mark.parametrize("strategy", ["dim", "head"])
def test_the_release_s_choices_end_in_the_promised_shape_too(strategy):
    """Harm: a penalty that never brings anything to zero, so that the paper's preset ends as wide as its teacher."""
    wanted = {"hidden": 8, "heads": 4 if strategy == "dim" else 2, "ffn": 12}
    lesson = Lesson({}, wanted, {**RELEASE, "strategy": strategy}, steps=140).run()
    assert {group.open_count for group in lesson.heir.groups.values()} == {8, 12}
    assert not any(group.closing.any() for group in lesson.heir.groups.values())  # and all of it before the end
    masked = logits(lesson.heir)
    student = lesson.method.finish(lesson.heir)
    assert student.shape == lesson.shape
    torch.testing.assert_close(logits(student), masked, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "steps", "words"),
    [
        ({"interval": 500}, 400, ["8,500 steps", "at most 23"]),
        ({**Wid.about.presets["paper"]}, 5000, ["later than the run's 5,000", "at least"]),
        ({"rule": "release", "closed_by": 1.0}, 10, ["at least 17 steps", "got 10"]),
        (
            {"layers_from": "listed", "layer_list": "1, 9"},
            100,
            ["rising numbers between 1 and 2", "'1, 9'", "write 1, 2"],
        ),
        ({"layers_from": "listed", "layer_list": "two"}, 100, ["rising numbers between 1 and 2"]),
    ],
)
def test_a_schedule_that_does_not_fit_is_refused_with_the_nearest_that_does(options, steps, words):
    """Harm: a run that ends while dims still close, or a person who must guess what would work."""
    method = Wid(parse_options(WidOptions, options), steps)
    with pytest.raises(ShapeError) as caught:
        method.student_shape(Shape(layers=2, hidden=128, heads=4), {"hidden": 64, "heads": 4})
    assert len(caught.value.problems) == 1
    assert all(word in str(caught.value) for word in words), str(caught.value)
