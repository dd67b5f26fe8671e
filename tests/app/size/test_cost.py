"""What running and training costs, on a known device and on this machine. Run without a browser."""

from engine.sizing.comparison import Comparison
from tests.fixtures.page_reading import by_label, html
from tests.fixtures.size_page import FOUR, opened


def test_costs_say_what_they_add() -> None:
    """Harm: a WID run is thought to take the memory of its student."""
    page = opened(Comparison(FOUR.configurations, tab="cost", device="h100"))
    text = html(page)
    assert "299,630,592" in text  # compactors before anything has closed
    assert "µs" in text
    assert any("cannot inherit" in caption.value for caption in page.caption)  # ALBERT, and DistilBERT
    by_label(page.number_input, "Tokens of a sequence").set_value(10**12).run()
    assert not page.exception
    assert "cannot read" in page.warning[0].value


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
    by_label(page.button, "Measure this machine").click().run()
    assert not page.exception
    assert "steps here, about" in html(page)
    assert "which waits for" in html(page)
    caches.machine_rates().clear()
