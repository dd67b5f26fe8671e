"""The examine page as a whole: every tab for every kind of student, and links that are kept. Without a browser."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from app.examine import model_pair
from app.session import caches
from tests.fixtures.examine_page import COMPRESSED, PAGE
from tests.fixtures.page_reading import told


@pytest.mark.parametrize("method", COMPRESSED)
@pytest.mark.parametrize("view", ["Attention", "Ancestry", "Layers", "What heads do", "Intervene"])
def test_compressed_students_can_be_examined(opened, method, view) -> None:
    """Harm: a tab written for ordinary layers breaks on int8 weights, two factors or uneven heads."""
    page = opened(view, method)
    assert not page.error, [error.value for error in page.error]


ELSEWHERE = {  # tab -> what it says of a student whose vocabulary is not its teacher's
    "Attention": "The student's vocabulary is not the teacher's",  # this and the next are drawn whatever tab is open
    "Fill in": "different vocabularies",
    "Inheritance": "do not see the same tokens",
    "Layers": "cut text into different tokens",
    "What heads do": "layer by head, a block a relation",
    "Intervene": "change of the loss",
}


@pytest.mark.parametrize("view", list(ELSEWHERE)[3:])
def test_a_student_of_another_vocabulary_is_answered_in_every_tab(opened, runs, ids, monkeypatch, view) -> None:
    """Harm: a student of a foreign teacher breaks a tab, or its words are laid on others' words without a word."""
    from transformers import PreTrainedTokenizerFast

    from engine.model.saved_models import Model

    whole = caches.student_model(runs / ids["scratch"] / "student")
    known = json.loads(whole.tokenizer.backend_tokenizer.to_str())
    vocabulary = known["model"]["vocab"]
    vocabulary["zebra"] = vocabulary.pop("girl")
    read = type(whole.tokenizer.backend_tokenizer).from_str
    names = {name: getattr(whole.tokenizer, name) for name in whole.tokenizer.SPECIAL_TOKENS_ATTRIBUTES[2:]}
    foreign = PreTrainedTokenizerFast(tokenizer_object=read(json.dumps(known)), **names)
    monkeypatch.setattr(caches, "student_model", lambda folder: Model(whole.bert, foreign, whole.card))
    monkeypatch.setattr(caches, "student_version", lambda folder: "a foreign student")
    page = opened(view, "scratch")
    for button in page.button:
        if button.label in ("Score", "Rank all heads"):
            button.click()
    page.run()
    assert not page.exception
    for said in (ELSEWHERE[view], *list(ELSEWHERE.values())[:3]):
        assert said in told(page)


def test_an_empty_sentence_takes_only_what_needs_one(opened) -> None:
    """Harm: a visitor empties the line, and ancestry, tasks and all other tabs are gone with it."""
    page = opened("Layers")
    page.segmented_control(key="layer_text").set_value("The sentence above")
    page.text_input(key="sentence_microworld").set_value("").run()
    assert not page.exception
    assert "type at least one word" in told(page)
    assert "There is no sentence above, so this is held-out text" in told(page)
    assert "Linear CKA" in told(page)
    assert "Which heads are missed?" in told(opened("Intervene"))


@pytest.mark.parametrize("view", ["Intervene", "Layers", "Inheritance"])
def test_layers_that_share_weights_are_called_so(opened, view) -> None:
    """Harm: a head of a shared layer is switched off, and nobody can tell in how many layers."""
    page = opened(view, "albert")
    assert "4 layers share all their weights, in 2 groups" in told(page)
    if view == "Intervene":
        assert "in the layers that you choose and nowhere else" in told(page)


def test_five_thousand_words_are_answered_in_words(opened, ids) -> None:
    """Harm: a page of text is pasted and nothing happens, or it goes into a link that no browser opens."""
    page = opened("Fill in")
    page.text_input(key="sentence_microworld").set_value("the girl sleeps . " * 5000)
    page.text_input(key=f"blanks_{ids['wid']}").set_value("[MASK] sleeps . " * 5000).run()
    words = told(page)
    assert "19,938 of its tokens were left out" in words
    assert "a reload forgets it" in words
    assert "make it shorter" in words
    assert "text" not in page.query_params


def test_a_link_keeps_what_every_tab_shows(runs, ids, monkeypatch) -> None:
    """Harm: a finding is sent around as a link, and everybody sees another head, step, text or model in its place."""
    monkeypatch.setattr(caches, "RUNS", runs)
    monkeypatch.setattr(model_pair, "ROWS", 16)
    monkeypatch.setattr(model_pair, "MOST_RANKING_ROWS", 16)
    said = {
        "view": "Intervene",
        "changed": "teacher-2.1-4.3",
        "cut": "The boys [MASK] .",
        "blanks": "A [MASK] sleeps .",
    }
    page = AppTest.from_file(PAGE, default_timeout=300)
    page.query_params.update({"run": ids["wid"], **said, "intervene_role": "Teacher", "step": "0", "film": "2"})
    page.run()
    assert not page.exception
    run = ids["wid"]
    assert page.multiselect(key=f"intervene_heads_Teacher_{run}").value == ["layer 2, head 1", "layer 4, head 3"]
    assert page.text_input(key=f"intervene_text_{run}").value == said["cut"]
    assert page.text_input(key=f"blanks_{run}").value == said["blanks"]
    assert page.select_slider(key=f"film_step_{run}").value == 0
    assert page.selectbox(key=f"film_sentence_{run}").value == 1
    page.multiselect(key=f"intervene_heads_Teacher_{run}").set_value(["layer 1, head 2"]).run()
    assert page.query_params["changed"] == "teacher-1.2"
    assert page.query_params["cut"] == said["cut"]


@pytest.mark.parametrize("value", ["teacher-99.1", "<b>", "9" * 500])
def test_a_link_without_sense_changes_nothing(runs, ids, monkeypatch, value) -> None:
    """Harm: a link that somebody wrote by hand gives a traceback."""
    monkeypatch.setattr(caches, "RUNS", runs)
    page = AppTest.from_file(PAGE, default_timeout=300)
    page.query_params.update({"run": ids["wid"], "view": "Layers", "models": value, "film": value, "step": value})
    page.query_params.update({"layer_depth": value, "changed": value})
    page.run()
    assert not page.exception
