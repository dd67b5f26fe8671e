"""What one-shot compressions leave behind, as shapes, and what does not fit together."""

import pytest

from engine.sizing.shape import COMPRESSION_FIELDS, Shape, ShapeError


def test_shapes_of_old_runs_are_still_read():
    """Harm: every run made before today opens with an error."""
    old = {name: value for name, value in Shape().to_json().items() if name not in COMPRESSION_FIELDS}
    assert Shape.from_json(old) == Shape()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"layer_heads": [1, 2, 3]}, "for each of 2 layers, got 3"),
        ({"layer_heads": [0, 4]}, "between 1 and the shape's heads of 4 and reach it, got 0 to 4"),
        ({"layer_heads": [1, 2]}, "reach it, got 1 to 2"),
        ({"layer_heads": "12"}, "must be a list of whole numbers"),
        ({"layer_heads": [1.0, 4]}, "must be a list of whole numbers"),
        ({"layer_ffn": [10**5000, 1]}, "layer_ffn"),
        ({"layer_ffn": {"0": 1}}, "must be a list"),
        ({"rank": -1}, "rank must be a whole number between 0"),
        ({"rank": True}, "rank must be a whole number"),
        ({"linear_bits": 4}, "linear_bits must be one of 8, 32, got 4"),
        ({"table_bits": "8"}, "table_bits must be one of 8, 32"),
        ({"layer_ffn": [3, 24], "sharing": "all"}, "must be the same in all layers that share"),
    ],
)
def test_outcomes_that_do_not_fit_are_refused_in_a_sentence(changes, says):
    """Harm: a damaged card builds a model of another shape, or ends in a traceback."""
    with pytest.raises(ShapeError, match=says) as caught:
        Shape(layers=2, hidden=16, heads=4, ffn=24, **changes)
    assert all(len(problem) < 300 for problem in caught.value.problems)


def test_a_list_of_one_number_is_no_list():
    """Harm: two shapes of one model that differ, so that an even student cannot be exported."""
    shape = Shape(layers=2, hidden=16, heads=4, ffn=24, layer_heads=[4, 4], layer_ffn=[24, 24])
    assert shape == Shape(layers=2, hidden=16, heads=4, ffn=24)
    assert Shape(layers=2, hidden=16, heads=4, layer_heads=[1, 4]).plain() == Shape(layers=2, hidden=16, heads=4)
