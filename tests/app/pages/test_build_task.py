"""The build page for a method that learns a task: only the controls it has, and no text that it would not read."""

import pytest

from engine.methods.registry import METHODS
from engine.training import job
from tests.fixtures.build_page import opened


@pytest.fixture
def page(monkeypatch, tmp_path):
    """The page, with the first method chosen that is not task-agnostic."""
    page = opened(monkeypatch, tmp_path, 1)
    name = next(name for name, method in METHODS.items() if "task-agnostic" not in method.about.uses)
    return page.selectbox[0].set_value(name).run()


def test_it_offers_its_task_and_no_text(page, monkeypatch):
    """Harm: a corpus and a masking that are chosen with care and never read."""
    labels = {
        widget.label for kind in ("text_input", "selectbox", "number_input", "toggle") for widget in page.get(kind)
    }
    assert {"Task", "Weight of patience", "Learning rate", "Steps", "Seed"} <= labels
    assert not {"Corpus", "Hidden together", "Share hidden", "Look at the corpus"} & labels
    assert {slider.label for slider in page.slider} == {"Layers", "Weight of soft targets"}
    assert any("first 2 layers" in caption.value for caption in page.caption)
    started = []
    monkeypatch.setattr(job, "start", lambda root, config, name: started.append(config) or 1 / 0)
    next(button for button in page.button if button.label == "Start").click().run()
    ((method, student, corpus),) = [(one["method"], one["student"], one["corpus"]) for one in started]
    assert (METHODS[method].about.chooses, student, corpus) == (("layers",), {"layers": 2}, "auto")
