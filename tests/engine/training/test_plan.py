"""What can be refused before any weight is loaded."""

import pytest

from engine.settings.device import Device
from engine.settings.options import ConfigError
from engine.training import plan as plan_module
from engine.training.plan import plan
from tests.fixtures.builders import tiny


def test_a_plan_names_who_learns_what_where():
    """Harm: the build page shows one student and the run trains another."""
    planned = plan(tiny("wid"))
    assert planned.teacher.name == "blank"
    assert planned.corpus == planned.teacher.corpus
    assert (planned.shape.layers, planned.shape.hidden, planned.shape.ffn) == (1, 32, 64)
    assert (planned.method.name, planned.device.type) == ("wid", "cpu")


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
