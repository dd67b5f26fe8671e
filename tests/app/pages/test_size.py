"""The size page, run without a browser: what it computes, refuses and remembers."""

import json
import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from engine.sizing.comparison import TABS, Comparison, Configuration, editable_fields
from engine.sizing.comparison_link import to_link
from engine.sizing.cost import parameters
from engine.sizing.presets import PRESETS
from engine.sizing.shape import LARGEST_NUMBER, Shape
from engine.sizing.sweep import SWEEPABLE

SCRIPT = str(Path(__file__).parents[3] / "streamlit_app.py")
FOUR = Comparison(tuple(map(Configuration.of, ("bert-base", "wid55-516", "albert-base", "distilbert"))))


def opened(link: Comparison | dict | None = None) -> AppTest:
    """The page, opened with a link."""
    page = AppTest.from_file(SCRIPT, default_timeout=60)
    for name, value in (to_link(link) if isinstance(link, Comparison) else link or {}).items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    return page


def find(elements, label: str):
    """The one of `elements` with this label."""
    return next(element for element in elements if element.label == label)


def html(page: AppTest) -> str:
    """All HTML of the page, in its order."""
    return "\n".join(element.proto.body for element in page.get("html"))


def count(page: AppTest) -> int:
    """The chosen model's parameters, as its tile says."""
    return int(page.metric[0].value.replace(",", ""))


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_be_started_from(preset: str) -> None:
    """Harm: a name in the list that shows an error, or the count of another model."""
    page = opened(Comparison((Configuration.of("bert-base"), Configuration.of("bert-small", layers=5))))
    find(page.selectbox, "Start from").set_value("microworld").run()
    find(page.selectbox, "Start from").set_value(preset).run()
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
        find(page.number_input, label).set_value(value).run()
        fields[name] = value
        assert not page.exception
        assert count(page) == parameters(Shape(**fields)), label
    for label, name in (("Pooler", "pooler"), ("Sentence-order head", "pair_head")):
        find(page.toggle, label).set_value(True).run()
        fields[name] = True
        assert count(page) == parameters(Shape(**fields)), label
    find(page.toggle, "Decoder tied to the embedding table").set_value(False).run()
    fields["tied"] = False
    assert count(page) == parameters(Shape(**fields))
    for label, name, value in (("Layers share", "sharing", "all"), ("Family", "family", "albert")):
        find(page.segmented_control, label).set_value(value).run()
        fields[name] = value
        assert count(page) == parameters(Shape(**fields)), label
    find(page.number_input, "Groups that share").set_value(2).run()
    assert count(page) == parameters(Shape(**{**fields, "groups": 2}))


def test_slider_and_field_show_one_value() -> None:
    """Harm: the slider says 6 layers and the field beside it 12."""
    page = opened()
    find(page.slider, "Layers").set_value(6).run()
    assert find(page.number_input, "Layers, exact").value == 6
    find(page.number_input, "Width, exact").set_value(516).run()
    assert find(page.slider, "Width").value == 516
    find(page.slider, "FFN, as a multiple of the width").set_value(2.0).run()
    find(page.number_input, "Width, exact").set_value(768).run()
    assert count(page) == parameters(Shape(layers=6, ffn=1536))


def test_heads_that_do_not_divide_are_explained_and_mended_by_a_click() -> None:
    """Harm: a refused shape, and nobody says what would do."""
    page = opened()
    find(page.number_input, "Heads, exact").set_value(11).run()
    assert "does not divide into 11 heads" in page.error[0].value.replace("\\", "")
    assert count(page) == 109_514_298  # the others go on being counted
    find(page.button, "Use 12 heads").click().run()
    assert not page.error
    assert count(page) == 33_391_290


@pytest.mark.parametrize("value", [0, -5, 10**12, 10**15])
@pytest.mark.parametrize("label", ["Layers, exact", "Width, exact", "Vocabulary"])
def test_slips_of_the_keyboard_are_answered_in_words(label: str, value: int) -> None:
    """Harm: one zero too many hangs the page, or shows a traceback."""
    page = opened()
    find(page.number_input, label).set_value(value).run()
    assert not page.exception
    assert f"{value:,}" in page.error[0].value.replace("\\", "")


@pytest.mark.parametrize("tab", TABS)
def test_every_tab_takes_the_largest_and_the_smallest_shape(tab: str) -> None:
    """Harm: an integer of thirty digits overflows in a table or a chart."""
    huge = Shape(**dict.fromkeys(("layers", "hidden", "heads", "ffn", "vocab", "positions"), LARGEST_NUMBER))
    tiny = Shape(**dict.fromkeys(("layers", "hidden", "heads", "ffn", "vocab", "positions"), 1))
    for shape in (huge, tiny):
        link = Comparison(
            (Configuration("A", "bert-base", editable_fields(shape)), Configuration.of("bert-base", "B")),
            chosen=0,
            tab=tab,
            tokens=1,
            device="h100",
        )
        page = opened(link)
        assert not page.exception
        assert f"{parameters(shape):,}" in html(page)


def test_a_comparison_of_four() -> None:
    """Harm: four models do not stand side by side, or a fifth pushes one out."""
    page = opened(FOUR)
    text = html(page)
    for one in FOUR.configurations:
        assert f"{parameters(one.shape):,}" in text
        assert one.name in text
    assert find(page.button, "Duplicate").disabled
    find(page.button, "Remove").click().run()
    assert "54,735,294" not in html(page)
    find(page.button, "Duplicate").click().run()
    find(page.text_input, "Name").set_value("  A name\n of mine ").run()
    assert "A name of mine" in html(page)


def test_the_last_model_cannot_be_removed() -> None:
    """Harm: an empty page without a way back."""
    page = opened(Comparison((Configuration.of("bert-tiny"),), chosen=0))
    assert find(page.button, "Remove").disabled
    assert count(page) == 4_416_698


def test_a_wid_student_is_made_by_width_and_strategy() -> None:
    """Harm: the student on this page is another than the one that the method makes."""
    page = opened()
    find(page.number_input, "Width").set_value(500).run()
    assert "504 and 492" in page.warning[0].value.replace("\\", "")
    find(page.number_input, "Width").set_value(516).run()
    find(page.segmented_control, "Strategy").set_value("head").run()
    find(page.button, "Use this shape").click().run()
    shape = Shape(hidden=516, heads=8, head_dim=64, tied=False)
    assert count(page) == parameters(shape)


def test_backwards_puts_a_shape_into_the_model() -> None:
    """Harm: a found shape has to be typed by hand."""
    page = opened(Comparison(FOUR.configurations[:2], tab="backwards", budget="11M"))
    assert any("12 × 192" in text.value for text in page.markdown)
    next(button for button in page.button if button.label == "Use").click().run()
    assert count(page) == 11_365_626
    find(page.text_input, "Budget").set_value("much").run()
    assert "number with a unit" in page.warning[0].value


@pytest.mark.parametrize("kind", ["bytes", "flops", "latency"])
def test_every_kind_of_budget_answers(kind: str) -> None:
    """Harm: a budget that can be chosen and answers nothing."""
    page = opened(Comparison(FOUR.configurations[:2], tab="backwards", device="h100"))
    find(page.segmented_control, "A budget of").set_value(kind).run()
    assert not page.exception
    assert [button for button in page.button if button.label == "Use"]


@pytest.mark.parametrize("name", SWEEPABLE)
def test_every_control_can_be_swept(name: str) -> None:
    """Harm: one of the curves is a traceback."""
    page = opened(Comparison(FOUR.configurations, tab="what-if", sweep=name, chosen=2))
    figure = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert figure["data"]


def test_costs_say_what_they_add() -> None:
    """Harm: a WID run is thought to take the memory of its student."""
    page = opened(Comparison(FOUR.configurations, tab="cost", device="h100"))
    text = html(page)
    assert "299,630,592" in text  # compactors before anything has closed
    assert "µs" in text
    assert any("cannot inherit" in caption.value for caption in page.caption)  # ALBERT, and DistilBERT
    find(page.number_input, "Tokens of a sequence").set_value(10**12).run()
    assert not page.exception
    assert "cannot read" in page.warning[0].value


def test_papers_scores_are_labelled_as_theirs() -> None:
    """Harm: a score that nobody measured stands beside an own model."""
    page = opened(Comparison(FOUR.configurations, tab="papers"))
    charts = [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]
    assert len(charts) == 2
    for chart in charts:
        names = [trace["name"] for trace in chart["data"]]
        assert sum(name.endswith("(paper)") for name in names) == 2
        assert sum(name.endswith("size only") for name in names) == 4
    assert any("none is predicted" in caption.value for caption in page.caption)


HOSTILE = "<img src=x onerror=alert(1)>![](http://evil/x.png)[a](javascript:1)$x$:red[y]"


def test_names_are_text_everywhere() -> None:
    """Harm: a model's name in a link runs a script, or loads a picture from somewhere."""
    models = (Configuration.of("bert-base", HOSTILE[:40]), Configuration.of("albert-base", HOSTILE[28:68]))
    for tab in TABS:
        page = opened(Comparison(models, tab=tab, chosen=1))
        assert "<img" not in html(page)
        for texts in (page.markdown, page.caption, page.warning, page.error):
            for text in texts:
                assert not re.search(r"(?<!\\)!\[|(?<!\\)\]\(|(?<!\\):red\[|(?<!\\)<img", text.value), text.value
        assert not any(re.search(r"(?<!\\)!\[", option) for option in page.segmented_control[0].options)
    link = {"c": [f"{HOSTILE}~name.{HOSTILE}", f"bert-base~{HOSTILE}.1"], "tab": HOSTILE, "device": HOSTILE}
    page = opened(link)
    assert "<img" not in html(page)
    assert not re.search(r"(?<!\\)!\[|(?<!\\)\]\(", page.warning[0].value)
    assert "There is no preset" in page.warning[0].value


def test_a_link_with_nonsense_opens_the_page_and_says_so() -> None:
    """Harm: a typo in a link costs somebody the whole comparison."""
    page = opened({"v": "1", "c": ["bert-base~name.Teacher", f"bert-base~layers.6~hidden.{10**12}~name.Big"]})
    assert "1,000,000,000,000" in page.warning[0].value.replace("\\", "")
    assert count(page) == parameters(Shape(layers=6))
    find(page.slider, "Layers").set_value(3).run()
    assert not page.warning  # once something is changed the link has said what it had to say


def test_verify_shows_both_numbers(monkeypatch) -> None:
    """Harm: the button that proves exactness shows nothing."""
    from engine.settings import torch_subprocess

    def ask(module, question, progress):
        progress(0.5, "building")
        verdicts = []
        for fields in question["shapes"]:
            total = parameters(Shape.from_json(fields))
            verdicts.append({"built": "A class", "computed": total, "counted": total, "unread": 0, "equal": True})
        return {"verdicts": verdicts}

    monkeypatch.setattr(torch_subprocess, "ask", ask)
    page = opened()
    find(page.button, "Verify with the real models").click().run()
    assert html(page).count("equal ✓") == 2
    find(page.slider, "Layers").set_value(3).run()
    assert html(page).count("equal ✓") == 1  # the teacher's; nobody has built the new student

    def refuse(module, question, progress):
        raise torch_subprocess.TorchSubprocessError("No such luck.")

    monkeypatch.setattr(torch_subprocess, "ask", refuse)
    find(page.button, "Verify with the real models").click().run()
    assert page.error[0].value == "No such luck\\."


def test_this_machine_is_measured_on_request(monkeypatch) -> None:
    """Harm: 'this machine' is a promise, or its times are of no use."""
    from app.session import caches
    from engine.settings import torch_subprocess

    rates = {"device": "A machine", "float32": 1e12, "bfloat16": 2e12, "bandwidth": 1e11, "step": 1e12}
    rates |= {"step_precision": "float32", "step_model": "a model"}
    monkeypatch.setattr(torch_subprocess, "ask", lambda module, question, progress: rates)
    caches.machine_rates().clear()
    page = opened(Comparison(FOUR.configurations[:2], tab="cost", device="here"))
    assert "not been measured" in page.info[0].value
    find(page.button, "Measure this machine").click().run()
    assert not page.exception
    assert "steps here, about" in html(page)
    assert "which waits for" in html(page)
    caches.machine_rates().clear()
