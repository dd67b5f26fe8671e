"""A student and its teacher: compared only where they can be. Run without a browser."""

from app.examine import model_pair
from tests.fixtures.page_reading import told


def test_models_of_two_vocabularies_are_not_compared_position_by_position(opened, monkeypatch) -> None:
    """Harm: attention of 'girl' is compared with attention of '##s', and the figure looks like any other."""
    monkeypatch.setattr(model_pair.ModelPair, "same_vocabulary", property(lambda self: False))
    assert "cut text into different tokens" in told(opened("Ancestry"))
    assert "cut text into different tokens" in told(opened("Layers"))
