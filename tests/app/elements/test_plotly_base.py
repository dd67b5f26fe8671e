"""Plotly figures need nothing but plotly."""

import subprocess
import sys


def test_charts_are_drawn_without_streamlit() -> None:
    """Harm: a figure cannot be made in a script, or drags a server along."""
    code = "import sys; import app.elements.plotly_base; print('streamlit' in sys.modules, 'torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]
