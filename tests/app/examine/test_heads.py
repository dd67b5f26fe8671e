"""Heads on the examine page: of odd sentences, of pairs, where two differ, and from a link. Run without a browser."""

import base64
import re

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.session import caches
from tests.fixtures.examine_page import EMOJI, PAGE, RIGHT_TO_LEFT
from tests.fixtures.page_reading import plots, words


@pytest.mark.parametrize(
    ("text", "second", "answer"),
    [
        ("", "", "type at least one word"),
        (EMOJI, "", "nothing but [UNK]"),
        (RIGHT_TO_LEFT, "", "nothing but [UNK]"),
        ("the girl <img src=x onerror=alert(1)> sleeps", "", "does not have"),
        ("boats " * 333, "", "were left out"),
        ("the girl sleeps .", "she is " * 280, "were left out"),
    ],
)
def test_a_sentence_that_is_odd_is_answered_in_words(page, text, second, answer):
    """Harm: markup runs, or an unknown word is drawn as if the model had read it."""
    sentence, other = (page.text_input(key=f"{name}_microworld") for name in ("sentence", "second"))
    sentence.set_value(text)
    other.set_value(second).run()
    assert not page.exception
    told = words(page)
    assert answer in told
    assert "<img" not in told.replace("\\<img", "")


def test_a_pair_is_seen_as_a_pair(page):
    """Harm: two sentences are drawn as one, or the models are not told which word is of which."""
    page.text_input(key="second_microworld").set_value("she is happy .").run()
    assert not page.exception
    names = [figure["layout"]["xaxis"].get("ticktext", []) for figure in plots(page)]
    coloured = next(name for name in names if "[CLS]" in name and any("<span" in tick for tick in name))
    assert [re.sub("<[^>]+>", "", tick) for tick in coloured if "<span" in tick] == ["she", "is", "happy", ".", "[SEP]"]
    assert coloured.count("[SEP]") == 1  # the first sentence's


def test_the_difference_is_the_student_s_less_the_teacher_s(page):
    """Harm: blue and orange change places, and every reader concludes the opposite."""
    grids = {}
    for figure in plots(page):
        (trace, *_) = figure["data"]
        if trace["type"] == "heatmap" and "customdata" in trace and "looks at" in trace.get("hovertemplate", ""):
            raw = np.frombuffer(base64.b64decode(trace["z"]["bdata"]), trace["z"]["dtype"])
            grids.setdefault(float(trace["zmax"]), []).append(raw)
    (teacher, student), (apart,) = grids[1.0], grids[100.0]
    np.testing.assert_allclose(apart, 100 * (student - teacher), atol=1e-3)


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
