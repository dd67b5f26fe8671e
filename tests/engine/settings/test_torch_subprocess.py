"""Questions that a process with torch answers: a failure is said, and nothing else is taken for the answer."""

import json
import subprocess
import sys

import pytest

from engine.settings import torch_subprocess as apart
from engine.sizing.shape import Shape


def test_what_cannot_be_answered_is_said_in_a_sentence() -> None:
    """Harm: a traceback of another process on the page, or waiting for one that has died."""
    with pytest.raises(apart.TorchSubprocessError, match="1,000 layers"):
        apart.ask("engine.model.count_check", {"shapes": [Shape(layers=10**9).to_json()]})
    with pytest.raises(apart.TorchSubprocessError, match="without an answer"):
        apart.ask("engine.nothing_of_the_kind", {})


def test_a_chatty_library_does_not_spoil_the_answer() -> None:
    """Harm: one line that a library prints is taken for the answer."""
    script = "from engine.settings.torch_subprocess import answer_stdin; print('hello'); print('[1]')\n"
    script += "answer_stdin(lambda question: {'got': question})"
    done = subprocess.run([sys.executable, "-c", script], input='{"a": 1}', capture_output=True, text=True, check=True)
    told = [apart._read(line) for line in done.stdout.splitlines()]
    assert told == [{}, {}, {"answer": {"got": {"a": 1}}}]
    assert json.loads(done.stdout.splitlines()[-1])
