"""The compare page needs no torch."""

import subprocess
import sys

from engine.settings.project import PROJECT


def test_the_page_loads_no_torch():
    """Harm: a table of numbers waits ten seconds for a library that it does not use."""
    code = "import sys; import app.compare.experiment, app.compare.own_runs; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
