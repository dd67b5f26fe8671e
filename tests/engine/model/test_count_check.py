"""Verify: real models, counted."""

import pytest

from engine.model.count_check import check_count
from engine.settings import torch_subprocess as apart
from engine.sizing.cost import parameters
from engine.sizing.presets import PRESETS
from engine.sizing.shape import Shape, ShapeError
from tests.fixtures.builders import OLD_LIBRARY


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_what_the_library_builds(name: str) -> None:
    """Harm: 'equal to the library' is claimed of a shape that was never built."""
    verdict = check_count(PRESETS[name].shape)
    assert verdict.equal
    assert verdict.built.startswith("transformers' ")


@pytest.mark.parametrize(
    ("shape", "built"),
    [
        (Shape(), "transformers' BertForMaskedLM"),
        (Shape(mlm_head=False, pooler=True), "transformers' BertModel"),
        (Shape(pooler=True, pair_head=True), "transformers' BertForPreTraining"),
        (Shape(tied=False), "transformers' BertForMaskedLM"),
        (Shape(token_types=0, mlm_head=False), "transformers' DistilBertModel"),
        (Shape(family="albert", sharing="all", embedding=128, groups=5), "transformers' AlbertForMaskedLM"),
        (Shape(sharing="ffn"), "this project's Bert"),
        (Shape(hidden=516, heads=8, head_dim=64), "this project's Bert"),
        (Shape(pooler=True), "this project's Bert"),
    ],
    ids=str,
)
def test_the_class_that_can_hold_a_shape_is_built(shape: Shape, built: str) -> None:
    """Harm: a shape is verified against a class that is not it."""
    verdict = check_count(shape)
    assert (verdict.built, verdict.equal) == (built, True)
    assert verdict.unread == (0 if shape.tied or OLD_LIBRARY else 30522)


def test_a_billion_layers_are_not_built() -> None:
    """Harm: Verify runs for ever."""
    with pytest.raises(ShapeError, match="1,000 layers"):
        check_count(Shape(layers=10**9))


def test_asked_from_outside_it_answers_and_tells_how_far_it_is() -> None:
    """Harm: the button shows nothing for five seconds, or its process fails in silence."""
    heard: list[tuple[float, str]] = []
    question = {"shapes": [Shape().to_json(), Shape(sharing="all").to_json()]}
    found = apart.ask("engine.model.count_check", question, lambda share, doing: heard.append((share, doing)))
    assert [verdict["computed"] for verdict in found["verdicts"]] == [109_514_298, parameters(Shape(sharing="all"))]
    assert all(verdict["equal"] for verdict in found["verdicts"])
    assert [share for share, _ in heard] == [0.0, 0.5]
