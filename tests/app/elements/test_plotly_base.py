"""Bars, tables and colours: nothing is lost, can be markup or cannot be read; and every figure can be kept."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from app.elements import plotly_base
from app.elements.bars import SHADES, Bar, stacked_bars
from app.elements.tables import html_table
from app.elements.theme import DARK, LIGHT, readable_on

CONFIG = tomllib.loads((Path(__file__).parents[3] / ".streamlit" / "config.toml").read_text())


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


def test_tables_show_no_markup_of_a_cell() -> None:
    """Harm: a model's name runs as a script in the head of a table."""
    html = html_table(["", "<script>x</script>"], [['"><img src=x>', "<b>1</b>"]], LIGHT, caption="<i>")
    assert not re.search("<(script|img|b|i)[ >]", html)


def test_writing_on_every_shade_can_be_read() -> None:
    """Harm: black on dark blue, a label that nobody reads. 4.5 : 1 is what WCAG 2 asks for."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    for colours in (LIGHT, DARK):
        for role in ("teacher", "student"):
            for shade in SHADES:
                background = colours.tint(role, shade)
                pale, deep = sorted((luminance(background), luminance(readable_on(background))), reverse=True)
                assert (pale + 0.05) / (deep + 0.05) >= 4.5, (role, shade)


@pytest.mark.parametrize(("colours", "section"), [(LIGHT, "light"), (DARK, "dark")])
def test_roles_have_the_theme_s_colours(colours, section) -> None:
    """Harm: the teacher is blue in one chart and another blue, or orange, in the next."""
    theme = CONFIG["theme"][section]
    assert [colours.teacher, colours.student] == [colour.lower() for colour in theme["chartCategoricalColors"][:2]]
    assert colours.ink == theme["textColor"].lower()


def test_charts_are_drawn_without_streamlit() -> None:
    """Harm: a figure cannot be made in a script, or drags a server along."""
    code = "import sys; import app.elements.plotly_base; print('streamlit' in sys.modules, 'torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]


def test_every_figure_can_be_kept() -> None:
    """Harm: a figure that cannot be put on a slide, or numbers that cannot be taken along."""
    app, drawn, beside, buttons = Path(__file__).parents[3] / "app", 0, set(), set()
    for path in app.rglob("*.py"):
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            name = ast.unparse(call.func).split(".")[-1]
            assert name != "plotly_chart" or path.name == "figure.py", f"{path.name}:{call.lineno} draws by itself"
            words = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            if ast.unparse(call.func) == "show_figure":
                drawn += 1
                beside |= {words["csv_key"]} if "csv_key" in words else set()
                key = words.get("key") or ast.unparse(call.args[1])
                buttons.add(f"{key[:-1]}_drawn_csv'")
            elif name in ("csv_button", "lazy_csv_button"):
                buttons.add(words.get("key") or ast.unparse(call.args[3]))
    assert drawn > 30
    assert beside <= buttons
    assert plotly_base.PLOTLY_CONFIG["displayModeBar"] is True
    assert plotly_base.PLOTLY_CONFIG["modeBarButtons"] == [["toImage"]]
