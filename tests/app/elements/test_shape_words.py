"""Words about shapes: shared layers are called so."""

from app.elements.shape_words import describe_shape, describe_sharing
from engine.sizing.shape import Shape


def test_what_is_said_of_a_build() -> None:
    """Harm: a student with one set of weights for all layers reads as an ordinary one."""
    shared = Shape(4, 64, 4, vocab=100, embedding=10, sharing="attention")
    assert describe_shape(shared).endswith("FFN 256, embeddings of 10, 4 layers share their attention weights")
    assert describe_sharing(Shape(4, 64, 4, vocab=100)) == ""
