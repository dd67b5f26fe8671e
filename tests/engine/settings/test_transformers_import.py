"""Heavy libraries are imported by several sessions of one server at once, and nobody's page ends in an error."""

import subprocess
import sys

import pytest

from engine.settings.project import PROJECT

STUDENT = PROJECT / "tests" / "fixtures" / "runs_2026_11" / "wid-finished" / "student"
SESSIONS = """
import sys, threading
from pathlib import Path

def a_student():
    from engine.model.saved_models import load_model
    load_model(Path(sys.argv[1]))

def a_teacher():
    from engine.teachers.catalog import load_teacher
    load_teacher("microworld")

def a_blank_teacher():
    from engine.teachers.catalog import load_teacher
    load_teacher("blank")

def a_page():
    from app.examine import cka, fill_in, heads, inheritance, interventions, layers, tasks

def a_plan():
    from engine.settings.run_config import RunConfig
    from engine.training.plan import plan
    plan(RunConfig(method="pkd", student={"layers": 2}, steps=2))

SESSIONS = [a_student, a_teacher, a_page, a_student, a_blank_teacher, a_plan]
together, wrong = threading.Barrier(len(SESSIONS)), []

def session(work):
    together.wait()
    try:
        work()
    except BaseException as error:
        wrong.append(f"{work.__name__}: {error!r}")

threads = [threading.Thread(target=session, args=(work,)) for work in SESSIONS]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(wrong)
"""


def test_sessions_that_begin_together_import_together() -> None:
    """Harm: after a restart the first of two tabs that are opened at once ends in "cannot import name"."""
    command = [sys.executable, "-c", SESSIONS, str(STUDENT)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stdout + done.stderr[-2000:]


def test_a_class_that_there_is_not_is_named() -> None:
    """Harm: a misspelt class is a riddle from inside the library."""
    from engine.settings.transformers_import import transformers_class

    with pytest.raises(AttributeError, match="NoSuchTokenizer"):
        transformers_class("NoSuchTokenizer")
