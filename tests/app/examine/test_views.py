"""Ancestry, Layers, What heads do and Intervene on the examine page. Run without a browser."""

import dataclasses
import html
import json
import shutil

import pytest
from safetensors.numpy import load_file, save_file
from streamlit.testing.v1 import AppTest

from app.examine import model_pair
from app.examine.ancestry.lineage import moment_of_compactors
from app.session import caches
from engine.storage.runs import list_runs
from engine.text import corpora
from engine.training.launch import PROJECT
from tests.fixtures.builders import finish, new_run, tiny

COMPRESSED = ("int8", "low_rank", "head_pruning")  # students that no ordinary BERT is
PAGE = str(PROJECT / "app" / "pages" / "examine.py")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a student that inherited (half its heads, half its layers) and one that did not."""
    folder = tmp_path_factory.mktemp("runs")
    shape = {"layers": 2, "hidden": 64}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpora, "HELD_OUT_ROWS", 32)
        for method, more in (("wid", {"heads": 2}), ("scratch", {"heads": 4})):
            config = tiny(method, 4, teacher="microworld", student={**shape, **more}, batch=8, length=64)
            if method == "wid":
                config = dataclasses.replace(config, options={"strategy": "head"})
            finish(config, new_run(folder, config))
        config = tiny("albert", 4, teacher="microworld", student={"layers": 4, "hidden": 64, "heads": 4})
        finish(dataclasses.replace(config, options={"groups": 2}), new_run(folder, config))
        for method in COMPRESSED:
            config = tiny(method, 0, teacher="microworld", student={}, batch=8, length=64)
            finish(config, new_run(folder, config))
    return folder


@pytest.fixture(scope="module")
def ids(runs):
    """The id of the student made by each method."""
    return {json.loads((run.student_dir / "card.json").read_text())["method"]: run.id for run in list_runs(runs)}


@pytest.fixture
def opened(runs, ids, monkeypatch):
    """Opens a tab of the page for the student of a method."""
    monkeypatch.setattr(caches, "RUNS", runs)
    monkeypatch.setattr(model_pair, "ROWS", 16)
    monkeypatch.setattr(model_pair, "MOST_RANKING_ROWS", 16)

    def open_tab(view, method="wid", run=None):
        page = AppTest.from_file(PAGE, default_timeout=300)
        page.query_params["run"] = run or ids[method]
        page.query_params["view"] = view
        page.run()
        assert not page.exception, page.exception
        return page

    return open_tab


def told(page) -> str:
    """All text of the page that a person reads."""
    parts = [*page.markdown, *page.caption, *page.info, *page.warning, *page.error]
    tiles = [f"{tile.label}: {tile.value}" for tile in page.metric]
    return " ".join([*(part.value for part in parts), *tiles])


def tabled(page) -> str:
    """The HTML of all tables."""
    return html.unescape(" ".join(part.proto.body for part in page.get("html")))


def test_ancestry_is_told_for_who_inherited(opened) -> None:
    """Harm: a student of half the depth and half the heads, the hardest case, breaks the tab or maps layers wrongly."""
    page = opened("Ancestry")
    assert "its layers come: 1 from 1, 2 from 4" in told(page)
    assert "Nobody's chief ancestor in this layer" in told(page)
    assert "Rank correlation: " in told(page)
    assert "of 4" in told(page)  # two heads in each of two layers
    assert "layer 2, head 1" in tabled(page)
    for what, says in (("Residual dims", "128 dims of the teacher"), ("FFN neurons", "512 neurons"), ("Survivors", "")):
        page.segmented_control(key="ancestry_of").set_value(what).run()
        assert not page.exception
        assert says in told(page)
    assert "the teacher's heads that stayed" in tabled(page)


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ({"options": {"after_closing": "folded", "closed_by": 0.5}, "steps": 500, "steps_done": 500}, "about 50% into"),
        ({"options": {"after_closing": "kept", "closed_by": 0.5}, "steps": 500, "steps_done": 500}, "kept to the end"),
        (
            {"options": {"after_closing": "folded", "closed_by": 0.5}, "steps": 500, "steps_done": 120},
            "after 120 of 500",
        ),
        ({}, "kept to the end"),
    ],
)
def test_the_moment_of_the_compactors_is_said(card, says) -> None:
    """Harm: what the student learned after it was folded is believed to be in its ancestry."""
    assert says in moment_of_compactors(card)


def test_who_did_not_inherit_is_told_why(opened) -> None:
    """Harm: an empty picture, as if a student from scratch had ancestors of nothing."""
    page = opened("Ancestry", "scratch")
    assert "made by the method scratch, which keeps no compactors" in told(page)
    assert not [chart for chart in page.get("plotly_chart") if chart.key.startswith("ancestry")]


def test_a_damaged_lineage_is_said_in_words(opened, runs, ids, tmp_path, monkeypatch) -> None:
    """Harm: a traceback, or a Sankey of nonsense."""
    copied = tmp_path / "runs"
    shutil.copytree(runs, copied)
    path = copied / ids["wid"] / "student" / "lineage.safetensors"
    tensors = load_file(path)
    tensors["attentions.1.query.column"] = tensors["attentions.1.query.column"][:, :-1].copy()
    save_file(tensors, path)
    card = path.parent / "card.json"
    card.write_text(card.read_text() + " ")  # another time of change, another student
    page = opened("Ancestry")  # the healthy one is remembered by now
    monkeypatch.setattr(caches, "RUNS", copied)
    page = AppTest.from_file(PAGE, default_timeout=300)
    page.query_params["run"], page.query_params["view"] = ids["wid"], "Ancestry"
    page.run()
    assert not page.exception
    assert "does not fit its student: attentions.1.query.column" in told(page)
    path.write_bytes(b"nothing of the kind")
    card.write_text(card.read_text() + " ")
    page.run()
    assert "The lineage in student is damaged" in told(page)


@pytest.mark.parametrize("method", COMPRESSED)
@pytest.mark.parametrize("view", ["Attention", "Ancestry", "Layers", "What heads do", "Intervene"])
def test_compressed_students_can_be_examined(opened, method, view) -> None:
    """Harm: a tab written for ordinary layers breaks on int8 weights, two factors or uneven heads."""
    page = opened(view, method)
    assert not page.error, [error.value for error in page.error]


def test_layers_of_any_set_of_models(opened, ids) -> None:
    """Harm: the chart knows two models only, or takes the teacher's colour for another."""
    page = opened("Layers")
    assert "Angle" in told(page)
    models = next(widget for widget in page.multiselect if widget.label == "Models")
    assert ids["scratch"] in models.options
    models.set_value(["Teacher", "Student", ids["scratch"], "blank"]).run()
    assert not page.exception
    (chart,) = [chart for chart in page.get("plotly_chart") if chart.key == "layers_angle"]
    names = [trace.get("name") for trace in json.loads(chart.proto.spec)["data"]]
    assert [name for name in names if name] == ["Teacher", "Student", ids["scratch"], "blank"]
    assert f"{ids['scratch']}, angle" in tabled(page)
    assert "untrained" in tabled(page)
    models.set_value([]).run()
    assert not page.exception
    assert "Choose at least one model" in told(page)


def test_heads_and_their_relations(opened) -> None:
    """Harm: a relation is missing for one of the two, or its null."""
    page = opened("What heads do")
    tables = tabled(page)
    for relation in ("agreement", "reflexive", "pronoun", "determiner", "order"):
        assert tables.count(f">{relation}<") == 2
    page.segmented_control(key="heads_of").set_value("Positions").run()
    assert not page.exception
    assert "separator: [SEP]" in tabled(page)


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


def test_models_of_two_vocabularies_are_not_compared_position_by_position(opened, monkeypatch) -> None:
    """Harm: attention of 'girl' is compared with attention of '##s', and the figure looks like any other."""
    monkeypatch.setattr(model_pair.ModelPair, "same_vocabulary", property(lambda self: False))
    assert "cut text into different tokens" in told(opened("Ancestry"))
    assert "cut text into different tokens" in told(opened("Layers"))


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


def test_what_is_seen_can_be_taken_along_as_one_page(opened, runs, ids, monkeypatch) -> None:
    """Harm: a report button that gives a traceback, or a page that lacks the run that it is about."""
    monkeypatch.setattr(caches, "RUNS", runs)
    for run in list_runs(runs):
        page = caches.report_html(run)
        assert page.startswith("<!doctype html>")
        assert run.id in page
        assert 'id="attention"' in page
    (run.student_dir / "model.safetensors").rename(run.path / "away")
    try:
        assert "<p>" in caches.report_html(run)
        assert 'id="attention"' not in caches.report_html(run)
    finally:
        (run.path / "away").rename(run.student_dir / "model.safetensors")
    labels = [button.proto.label for button in opened("Attention").get("download_button")]
    assert "This attention as a page" in labels


def test_a_link_brings_the_sentence_along(runs, ids, monkeypatch) -> None:
    """Harm: a presenter shares what is on the screen, and others see another sentence, or a link breaks the page."""
    monkeypatch.setattr(caches, "RUNS", runs)
    hostile = "the boy sleeps . </script>" + "x" * 5000
    for sent, kept in (("the boy sleeps .", "the boy sleeps ."), (hostile, hostile[:2000])):
        page = AppTest.from_file(PAGE, default_timeout=300)
        page.query_params.update({"run": ids["wid"], "text": sent, "second": "she is happy ."})
        page.run()
        assert not page.exception
        assert page.text_input(key="sentence_microworld").value == kept
        assert page.text_input(key="second_microworld").value == "she is happy ."
    page.text_input(key="sentence_microworld").set_value("the cat sleeps .").run()
    assert page.query_params["text"] == "the cat sleeps ."
    page.text_input(key="second_microworld").set_value("").run()
    assert "second" not in page.query_params


@pytest.mark.parametrize(
    ("linked", "opened_heads"), [("3.2-2.1", (3, 2, 2, 1)), ("99.1-0.0", (1, 1, 1, 1)), ("<b>", (1,) * 4)]
)
def test_a_link_opens_its_heads(runs, ids, monkeypatch, linked, opened_heads) -> None:
    """Harm: the pair of heads that everybody should look at is another one for those who follow the link."""
    monkeypatch.setattr(caches, "RUNS", runs)
    page = AppTest.from_file(PAGE, default_timeout=300)
    page.query_params.update({"run": ids["wid"], "heads": linked})
    page.run()
    assert not page.exception
    keys = [f"{what}_{role}_{ids['wid']}" for role in ("teacher", "student") for what in ("layer", "head")]
    assert tuple(page.selectbox(key=key).value for key in keys) == opened_heads
    page.selectbox(key=keys[0]).set_value(4).run()
    assert page.query_params["heads"].startswith("4.")


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


def test_an_intervention_begins_with_one_that_shows(opened) -> None:
    """Harm: the page opens with a head that nobody misses, and the visitor learns that heads do nothing."""
    page = opened("Intervene")
    page.segmented_control(key="intervene_role").set_value("Teacher").run()
    before, after = (frame.value for frame in page.dataframe if frame.value.columns[0] in ("Before", "After"))
    assert abs(before["probability"] - after["probability"]).max() > 0.1
    assert "What it does downstream" in told(page)
    assert not any("share" in words.value for words in page.caption if words.value.startswith("Here "))


@pytest.mark.parametrize("view", ["Intervene", "Layers", "Inheritance"])
def test_layers_that_share_weights_are_called_so(opened, view) -> None:
    """Harm: a head of a shared layer is switched off, and nobody can tell in how many layers."""
    page = opened(view, "albert")
    assert "4 layers share all their weights, in 2 groups" in told(page)
    if view == "Intervene":
        assert "in the layers that you choose and nowhere else" in told(page)
