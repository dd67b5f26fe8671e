"""What the app chooses for a widget reaches the browser whatever happens in between. Run without a browser."""

import shutil

import pytest
from streamlit.testing.v1 import AppTest

from app.session import caches
from engine.settings.project import PROJECT
from engine.sizing.comparison import TABS
from tests.fixtures.pictured_run import beginning, step_event, write_run

PAGES = PROJECT / "app" / "pages"


KINDS = ("selectbox", "radio", "select_slider", "multiselect", "segmented_control", "pills", "slider", "text_input")
KINDS += ("text_area", "number_input", "checkbox", "toggle")
LISTS = ("multiselect", "segmented_control", "pills", "button_group")


def begins_with(widget) -> object:
    """What a browser shows that has missed every message about the widget but the last."""
    default = widget.proto.default
    if widget.type in ("selectbox", "radio"):
        return widget.options[default]
    if widget.type == "select_slider":
        return widget.options[int(default[0])]
    if widget.type in LISTS:
        return [widget.options[place] for place in default]
    if widget.type == "slider":
        return default[0]
    if widget.type == "number_input" and not widget.proto.HasField("default"):
        return None
    return default


def shows(widget) -> object:
    """What the server takes it to show, in the same words."""
    if widget.type in ("selectbox", "radio", "select_slider"):
        return widget.format_func(widget.value)
    if widget.type in LISTS:
        several = widget.value if isinstance(widget.value, list) else [widget.value] * (widget.value is not None)
        return [widget.format_func(one) for one in several]
    return widget.value


def untold(page) -> dict[str, tuple[object, object]]:
    """Label -> (what the browser begins with, what the server takes it for), where the two are not the same."""
    widgets = [widget for kind in KINDS for widget in page.get(kind)]
    assert widgets
    return {one.label: (begins_with(one), shows(one)) for one in widgets if begins_with(one) != shows(one)}


def opened(name: str, folder, monkeypatch, **link: str) -> AppTest:
    """The page by that name, opened by a link."""
    monkeypatch.setattr(caches, "RUNS", folder)
    page = AppTest.from_file(str(PAGES / f"{name}.py"), default_timeout=120)
    page.query_params.update(link)
    page.run()
    assert not page.exception
    return page


def test_a_click_while_examine_is_drawn_changes_nothing_else(made, monkeypatch) -> None:
    """Harm: a tab that is clicked early shows the film's first frame, another sentence, other heads or another run."""
    folder, run = made
    later = write_run(folder, beginning())  # newest first: the link's run is not the one that a list begins with
    later.student_dir.symlink_to(run.student_dir)
    link = {"run": run.id, "text": "the boy sleeps .", "second": "she is happy .", "heads": "3.2-2.1"}
    try:
        page = opened("examine", folder, monkeypatch, **link)
        assert untold(page) == {}
        page.run()  # what a click does, as long as nothing is reported of the others
        assert untold(page) == {}
    finally:
        later.student_dir.unlink()
        shutil.rmtree(later.path)
    assert page.selectbox(key="chosen_run_Student").value == run.id
    assert page.select_slider(key=f"film_step_{run.id}").value == 20
    assert page.text_input(key="sentence_microworld").value == "the boy sleeps ."
    assert page.text_input(key="second_microworld").value == "she is happy ."
    assert page.selectbox(key=f"layer_teacher_{run.id}").value == 3


def test_a_click_while_another_page_is_drawn_changes_nothing_else(tmp_path, monkeypatch) -> None:
    """Harm: whoever clicks before all is drawn watches another run than the link's, or sees another experiment."""
    first, _ = (write_run(tmp_path, [*beginning(), step_event(5)]) for _ in range(2))
    page = opened("watch", tmp_path, monkeypatch, run=first.id)
    assert page.selectbox(key="chosen_run_Run").value == first.id
    assert untold(page) == {}
    page = opened("compare", tmp_path, monkeypatch, experiment="albert-sharing")
    assert page.selectbox(key="compared_experiment").value == "albert-sharing"
    assert untold(page) == {}


def test_what_the_app_chooses_later_makes_the_widget_anew(made, monkeypatch) -> None:
    """Harm: a film's frame that the browser was told of while it drew the one before is taken back by the slider."""
    folder, run = made
    page = opened("examine", folder, monkeypatch, run=run.id)
    (slider,) = page.select_slider
    assert slider.value == 20
    before = slider.id
    next(button for button in page.button if button.label == "Play").click().run()
    assert not page.exception
    (slider,) = page.select_slider
    assert slider.value == 0
    assert slider.id != before
    assert untold(page) == {}
    next(button for button in page.button if button.label == "Pause").click().run()
    (slider,) = page.select_slider
    slider.set_value(20).run()
    next(button for button in page.button if button.label == "Play").click().run()
    assert page.select_slider[0].value == 0  # from the beginning again
    assert untold(page) == {}


@pytest.mark.parametrize("tab", TABS)
def test_a_click_while_the_size_page_is_drawn_changes_no_number(tmp_path, monkeypatch, tab) -> None:
    """Harm: a tab that is clicked early makes BERT-base a model of one layer and one head, a list's first choice."""
    several = ["bert-base~name.Teacher", "wid55-516~layers.5~sharing.ffn~name.Ours"]
    link = {"v": "1", "c": several, "at": "2", "tab": tab, "part": "ffn", "tokens": "64"}
    link |= {"of": "latency", "budget": "50 us", "device": "h100"}
    page = opened("size", tmp_path, monkeypatch, **link)
    assert untold(page) == {}
    shape = [one.value for one in page.number_input]
    page.run()
    assert untold(page) == {}
    assert [one.value for one in page.number_input] == shape


CHANGES = {
    "Layers": 2,
    "Width": 32,
    "Steps": 1_234,
    "Batch": 8,
    "Seed": 3,
    "Weight learning rate": 0.002,
    "Closed by": 0.25,
    "Corpus": "nltk:abc",
    "Hidden together": "word",
    "Strategy": "head",
}


def test_a_build_that_was_left_is_found_as_it_was(tmp_path, monkeypatch) -> None:
    """Harm: whoever looks at the size page, or at a run, comes back to a build that has forgotten its settings."""
    monkeypatch.setattr(caches, "RUNS", tmp_path)
    page = AppTest.from_file(str(PROJECT / "streamlit_app.py"), default_timeout=120).run()
    page.switch_page("app/pages/build.py").run()

    def widgets() -> dict[str, object]:
        return {one.label: one for kind in KINDS for one in page.get(kind)}

    for label, value in CHANGES.items():
        widget = widgets()[label]
        assert widget.value != value
        (widget.select if widget.type == "selectbox" else widget.set_value)(value).run()
        assert untold(page) == {}, label
    page.switch_page("app/pages/size.py").run()
    assert "Hidden together" not in widgets()
    page.switch_page("app/pages/build.py").run()
    assert not page.exception
    assert {label: widgets()[label].value for label in CHANGES} == CHANGES
    assert untold(page) == {}
    page.run()  # what a click does, as long as nothing is reported of the others
    assert {label: widgets()[label].value for label in CHANGES} == CHANGES
