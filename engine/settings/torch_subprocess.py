"""Questions that need torch, answered by a process of its own, so that whoever asks never loads torch.

A page that counts by arithmetic opens at once; asked to build the real model it calls `ask` with the name of a module
that ends in `answer_stdin`. The question goes in as JSON on stdin; lines of JSON come back: progress as it goes, then
the answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from engine.settings.project import CODE

TIMEOUT_S = 300.0  # seconds
Progress = Callable[[float, str], object]


class TorchSubprocessError(ValueError):
    """The other process could not answer; says why in a sentence."""


def ask(module: str, question: dict[str, Any], progress: Progress | None = None) -> dict[str, Any]:
    """What the program `module` answers to `question`; `progress` hears of shares 0-1 and what is being done.

    Raises:
        ApartError: it ended without an answer, refused, or took longer than five minutes.
    """
    path = os.pathsep.join(filter(None, [str(CODE), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", module]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        last: list[str] = []
        errors = threading.Thread(target=lambda pipe: last.extend(pipe.readlines()[-1:]), args=(child.stderr,))
        errors.start()
        alarm = threading.Timer(TIMEOUT_S, child.kill)
        alarm.start()
        try:
            child.stdin.write(json.dumps(question))
            child.stdin.close()
            found: dict[str, Any] | None = None
            for line in child.stdout:
                told = _read(line)
                if "progress" in told and progress is not None:
                    progress(float(told["progress"]), str(told["doing"]))
                if "refused" in told:
                    raise TorchSubprocessError(str(told["refused"]))
                found = told.get("answer", found)
        except BrokenPipeError:
            found = None
        finally:
            alarm.cancel()
            child.kill() if child.poll() is None and sys.exc_info()[0] else None
        child.wait()
        errors.join()
    if found is None:
        raise TorchSubprocessError(
            f"The process that counts ended without an answer: {(last or ['no message'])[0].strip()[:200]}"
        )
    return found


def report_progress(share: float, doing: str) -> None:
    """In the other process: how far it is, 0-1, and with what."""
    print(json.dumps({"progress": share, "doing": doing}), flush=True)


def answer_stdin(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """In the other process: answers the question on stdin."""
    question = json.loads(sys.stdin.read())
    try:
        print(json.dumps({"answer": answer(question)}), flush=True)
    except ValueError as error:  # every error of ours that a person can mend is one
        print(json.dumps({"refused": " ".join(str(error).split())}), flush=True)


def _read(line: str) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError:
        return {}  # a library printed something
    return told if isinstance(told, dict) else {}
