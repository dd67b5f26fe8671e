"""Heads switched off on the examine page, and ranked. Run without a browser."""

import pytest

from app.session import caches
from tests.fixtures.page_reading import tabled, told


def test_a_head_is_switched_off_and_all_are_ranked(opened, ids) -> None:
    """Harm: a button that does nothing; a model that stays without its head for the next visitor."""
    page = opened("Intervene")
    before = {tile.label: tile.value for tile in page.metric}
    page.segmented_control(key="intervene_role").set_value("Teacher").run()
    heads = next(widget for widget in page.multiselect if widget.label == "Heads of the teacher")
    heads.set_value(["layer 4, head 2", "layer 3, head 4"]).run()
    assert not page.exception
    tiles = {tile.label: tile.value for tile in page.metric}
    assert float(tiles["Loss after"]) > float(tiles["Loss before"])
    heads.set_value([]).run()
    tiles = {tile.label: tile.value for tile in page.metric}
    assert tiles["Loss after"] == tiles["Loss before"]
    next(button for button in page.button if button.label == "Rank all heads").click().run()
    assert not page.exception
    assert not [button for button in page.button if button.label == "Rank all heads"]
    assert tabled(page).count("layer 4, head 2") == 1  # the teacher's; the student has two layers
    assert "Switch off an ancestor" in told(page)
    page.segmented_control(key="intervene_role").set_value("Student").run()
    assert {tile.label: tile.value for tile in page.metric if tile.label in before} == before


@pytest.mark.parametrize("text", ["", "no blank", "[MASK] " * 200, "<b>[MASK]</b> \N{OLD PERSONAL COMPUTER}"])
def test_odd_sentences_are_answered_in_words(opened, ids, text) -> None:
    """Harm: a traceback for an empty line."""
    page = opened("Intervene")
    page.text_input(key=f"intervene_text_{ids['wid']}").set_value(text).run()
    assert not page.exception
    assert page.warning


def test_a_student_without_a_head_is_told_so(opened, runs, ids, monkeypatch) -> None:
    """Harm: a student that learned a task, and has no words to guess, gives a traceback where heads are ranked."""
    from engine.model.bert import Bert
    from engine.model.saved_models import Model

    whole = caches.student_model(runs / ids["scratch"] / "student")
    headless = Bert(whole.bert.shape.replace(mlm_head=False)).eval()
    monkeypatch.setattr(caches, "student_model", lambda folder: Model(headless, whole.tokenizer, whole.card))
    page = opened("Intervene", "scratch")
    assert "no masked-LM head" in told(page)
    assert not [button for button in page.button if button.label == "Rank all heads"]


def test_an_intervention_begins_with_one_that_shows(opened) -> None:
    """Harm: the page opens with a head that nobody misses, and the visitor learns that heads do nothing."""
    page = opened("Intervene")
    page.segmented_control(key="intervene_role").set_value("Teacher").run()
    before, after = (frame.value for frame in page.dataframe if frame.value.columns[0] in ("Before", "After"))
    assert abs(before["probability"] - after["probability"]).max() > 0.1
    assert "What it does downstream" in told(page)
    assert not any("share" in words.value for words in page.caption if words.value.startswith("Here "))
