"""Teachers on the build page: every kind can be named, and what cannot be used says why."""

import pytest
import transformers

from engine.teachers import catalog
from tests.fixtures.builders import tokenizer
from tests.fixtures.page_reading import by_label


def test_a_checkpoint_without_a_head_is_offered_adaptation(page, tmp_path):
    """Harm: a run that inherits a head of random numbers, and nobody was told."""
    config = transformers.BertConfig(
        vocab_size=len(tokenizer()), hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24
    )
    transformers.BertModel(config).save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    by_label(page.text_input, "Or another teacher").set_value(f"local:{tmp_path / 'model'}").run()
    assert not page.exception
    assert "no masked-LM head" in page.warning[0].value
    by_label(page.text_input, "Corpus").set_value("microworld")
    next(button for button in page.button if "Train a head" in button.label).click().run()
    assert not page.exception
    assert not page.error
    assert not [slider for slider in page.slider if slider.label in ("Layers", "Width", "Heads")]
    by_label(page.button, "Start").click().run()
    (started,) = page.started
    assert (started["method"], started["teacher"]) == ("adapt", f"local:{tmp_path / 'model'}")
    assert started["student"] == {}


def test_a_folder_s_model_may_become_a_smaller_one(page, tmp_path):
    """Harm: what was chosen for the old model lies outside of the new one's range, and the page breaks."""
    for hidden, layers, positions in ((64, 6, 64), (16, 2, 32)):
        config = transformers.BertConfig(
            vocab_size=len(tokenizer()),
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=hidden // 8,
            intermediate_size=24,
            max_position_embeddings=positions,
        )
        transformers.BertForMaskedLM(config).save_pretrained(tmp_path / "model")
        tokenizer().save_pretrained(tmp_path / "model")
        by_label(page.text_input, "Or another teacher").set_value(f"local:{tmp_path / 'model'}").run()
        assert not page.exception
        values = [by_label(page.slider, label).value for label in ("Layers", "Width", "Heads")]
        assert values == [layers, hidden // 2, hidden // 8]
        assert by_label(page.number_input, "Length").value == positions
        page.run()
        assert not page.exception


@pytest.mark.parametrize("name", ["hub:owner/name", "local:/etc", "run:nothing", "nobody", "<b>x</b>"])
def test_a_teacher_that_cannot_be_had_is_one_message(page, name):
    """Harm: a traceback, or a page that waits for minutes."""
    by_label(page.text_input, "Or another teacher").set_value(name).run()
    assert not page.exception
    assert len(page.error) == 1


def test_an_adapted_teacher_says_how_near_it_is_to_its_original(page):
    """Harm: an encoder that lost what it was trained for is taken for the published one."""
    by_label(page.get("segmented_control"), "Teacher").set_value("minilm").run()
    assert not page.exception
    scores = catalog.teacher_card("minilm").scores
    near = ", ".join(f"{what} cosine {scores[f'{what}_cosine']:.2f}" for what in ("sentence", "attention"))
    assert any(near in part.proto.body for part in page.get("html"))
