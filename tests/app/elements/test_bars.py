"""Stacked bars: nothing is lost, and nothing can be markup."""

import re

import pytest

from app.elements.bars import Bar, stacked_bars
from app.elements.theme import DARK, LIGHT


def test_bars_add_up() -> None:
    """Harm: a part is missing from the picture of the whole."""
    bars = [Bar("Teacher, BERT", DARK.teacher, {"embeddings": 5, "ffn": 7})]
    bars.append(Bar("Student", DARK.student, {"embeddings": 2, "ffn": 1}))
    html = stacked_bars(bars, DARK)
    widths = [float(width) for width in re.findall(r";?width:([\d.]+)%", html)]
    assert widths == pytest.approx([100 * count / 12 for count in (5, 7, 2, 1)], abs=1e-3)
    assert "Teacher, BERT, FFN: 7 parameters, 58.3%" in html


def test_bars_show_no_markup_of_a_name() -> None:
    """Harm: a model's name runs as a script."""
    html = stacked_bars([Bar("<script>x</script>", LIGHT.teacher, {'"><b>': 1})], LIGHT)
    assert "<script" not in html
    assert "<b>" not in html
