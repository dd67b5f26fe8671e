"""Figures: every one of them can be kept."""

import ast
from pathlib import Path

from app.elements import plotly_base


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
