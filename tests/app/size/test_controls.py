"""The size page's controls: each changes what it says, and nothing else. Run without a browser."""

import pytest

from engine.sizing.comparison import Comparison, Configuration, editable_fields
from engine.sizing.cost import parameters
from engine.sizing.presets import PRESETS
from engine.sizing.shape import Shape
from tests.fixtures.page_reading import by_label
from tests.fixtures.size_page import count, opened


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_be_started_from(preset: str) -> None:
    """Harm: a name in the list that shows an error, or the count of another model."""
    page = opened(Comparison((Configuration.of("bert-base"), Configuration.of("bert-small", layers=5))))
    by_label(page.selectbox, "Start from").set_value("microworld").run()
    by_label(page.selectbox, "Start from").set_value(preset).run()
    assert not page.exception
    assert not page.error
    assert count(page) == parameters(PRESETS[preset].shape)


def test_the_count_follows_every_control() -> None:
    """Harm: a control that moves and changes nothing, or something else."""
    page, fields = opened(), editable_fields(Shape(hidden=384))
    for label, name, value in (
        ("Layers, exact", "layers", 6),
        ("Width, exact", "hidden", 516),
        ("Heads, exact", "heads", 6),
        ("Vocabulary", "vocab", 5000),
        ("Embedding size E", "embedding", 64),
        ("Head size", "head_dim", 32),
        ("FFN size", "ffn", 1000),
        ("Positions", "positions", 128),
        ("Token types", "token_types", 0),
    ):
        by_label(page.number_input, label).set_value(value).run()
        fields[name] = value
        assert not page.exception
        assert count(page) == parameters(Shape(**fields)), label
    for label, name in (("Pooler", "pooler"), ("Sentence-order head", "pair_head")):
        by_label(page.toggle, label).set_value(True).run()
        fields[name] = True
        assert count(page) == parameters(Shape(**fields)), label
    by_label(page.toggle, "Decoder tied to the embedding table").set_value(False).run()
    fields["tied"] = False
    assert count(page) == parameters(Shape(**fields))
    for label, name, value in (("Layers share", "sharing", "all"), ("Family", "family", "albert")):
        by_label(page.segmented_control, label).set_value(value).run()
        fields[name] = value
        assert count(page) == parameters(Shape(**fields)), label
    by_label(page.number_input, "Groups that share").set_value(2).run()
    assert count(page) == parameters(Shape(**{**fields, "groups": 2}))


def test_slider_and_field_show_one_value() -> None:
    """Harm: the slider says 6 layers and the field beside it 12."""
    page = opened()
    by_label(page.slider, "Layers").set_value(6).run()
    assert by_label(page.number_input, "Layers, exact").value == 6
    by_label(page.number_input, "Width, exact").set_value(516).run()
    assert by_label(page.slider, "Width").value == 516
    by_label(page.slider, "FFN, as a multiple of the width").set_value(2.0).run()
    by_label(page.number_input, "Width, exact").set_value(768).run()
    assert count(page) == parameters(Shape(layers=6, ffn=1536))


def test_the_last_model_cannot_be_removed() -> None:
    """Harm: an empty page without a way back."""
    page = opened(Comparison((Configuration.of("bert-tiny"),), chosen=0))
    assert by_label(page.button, "Remove").disabled
    assert count(page) == 4_416_698


def test_a_wid_student_is_made_by_width_and_strategy() -> None:
    """Harm: the student on this page is another than the one that the method makes."""
    page = opened()
    by_label(page.number_input, "Width").set_value(500).run()
    assert "504 and 492" in page.warning[0].value.replace("\\", "")
    by_label(page.number_input, "Width").set_value(516).run()
    by_label(page.segmented_control, "Strategy").set_value("head").run()
    by_label(page.button, "Use this shape").click().run()
    shape = Shape(hidden=516, heads=8, head_dim=64, tied=False)
    assert count(page) == parameters(shape)
