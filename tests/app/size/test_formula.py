"""The real model counted beside the formula. Run without a browser."""

from engine.sizing.cost import parameters
from engine.sizing.shape import Shape
from tests.fixtures.page_reading import by_label, html
from tests.fixtures.size_page import opened


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
    by_label(page.button, "Verify with the real models").click().run()
    assert html(page).count("equal ✓") == 2
    by_label(page.slider, "Layers").set_value(3).run()
    assert html(page).count("equal ✓") == 1  # the teacher's; nobody has built the new student

    def refuse(module, question, progress):
        raise torch_subprocess.TorchSubprocessError("No such luck.")

    monkeypatch.setattr(torch_subprocess, "ask", refuse)
    by_label(page.button, "Verify with the real models").click().run()
    assert page.error[0].value == "No such luck\\."
