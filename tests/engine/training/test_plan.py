"""What a plan says, and what can be refused before any weight is loaded."""

import pytest

from engine.settings.device import Device
from engine.settings.options import ConfigError
from engine.sizing.shape import ShapeError
from engine.teachers.catalog import TeacherError
from engine.text.corpora import CorpusError
from engine.training import plan as plan_module
from engine.training.plan import plan
from tests.fixtures.builders import finish, new_run, tiny


def test_a_plan_names_who_learns_what_where():
    """Harm: the build page shows one student and the run trains another."""
    planned = plan(tiny("wid"))
    assert planned.teacher.name == "blank"
    assert planned.corpus == planned.teacher.corpus
    assert (planned.shape.layers, planned.shape.hidden, planned.shape.ffn) == (1, 32, 64)
    assert (planned.method.about.name, planned.device.type) == ("wid", "cpu")


@pytest.mark.parametrize(
    ("device", "here", "wanted", "refused"),
    [
        ("cuda", None, 2, False),
        ("cuda", None, 3, True),
        ("cuda", "2", 3, False),  # torchrun started fewer than the config once asked for
        ("cuda", "3", 1, True),
        ("mps", None, 2, True),
        ("cpu", None, 3, False),  # processes may share a CPU
    ],
)
def test_more_processes_than_gpus_are_refused(device, here, wanted, refused, monkeypatch):
    """Harm: two processes on one GPU, which end in a fight of NCCL with itself."""
    count = {"cuda": 2}.get(device, 1)
    monkeypatch.setattr(plan_module, "pick_device", lambda *_: Device(device, "a device", False, count))
    if here:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", here)
    if not refused:
        assert plan(tiny("scratch", processes=wanted)).device.type == device
        return
    with pytest.raises(ConfigError, match=f"use at most {count}") as caught:
        plan(tiny("scratch", processes=wanted))
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("changes", "error", "word"),
    [
        ({"teacher": "nobody"}, TeacherError, "microworld, minilm, minilm-early, minilm-original, blank"),
        ({"method": "magic"}, ConfigError, "wid"),
        ({"corpus": "nowhere"}, CorpusError, "microworld"),
        ({"options": {"spped": 3}}, ConfigError, "no option spped"),
        ({"options": {"lr": "fast"}}, ConfigError, "lr must be a number"),
        ({"student": {"hidden": 30, "heads": 4}}, ShapeError, "does not divide"),
        ({"student": {"hidden": "64"}}, ShapeError, "whole number"),
        ({"student": {"hidden": 256}}, ShapeError, "more hidden"),
        ({"student": {"vocab": 3}}, ConfigError, "vocab"),
        ({"steps": 1}, ConfigError, "more steps"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(changes, error, word, tmp_path):
    """Harm: minutes of loading before a traceback."""
    config = tiny(**{"method": "wid", **changes})
    with pytest.raises(error, match=word) as caught:
        finish(config, new_run(tmp_path, config))
    assert "\n" not in str(caught.value)
