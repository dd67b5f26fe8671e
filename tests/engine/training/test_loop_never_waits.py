"""The loop never waits for the device, except where it says so.

The device is torch's "meta", which computes nothing: whatever must leave it is answered with zeros, and the place in
the engine that asked is written down.
"""

import traceback
from itertools import takewhile
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import engine
from engine.methods.registry import METHODS
from engine.methods.scratch import Scratch
from engine.settings.device import Device
from engine.training import plan
from engine.training.loop import train
from tests.fixtures.builders import new_run, tiny

ENGINE = str(Path(engine.__file__).parent)
MAY_WAIT = {"_totals", "_cut", "snapshot"}  # a step event, a cut of WID's schedule, a picture
MAY_WAIT |= {"_groups", "lineage", "fold"}  # the one step after which an heir goes on as a plain student
WAITS = (torch.ops.aten.nonzero.default, torch.ops.aten.equal.default)  # their answer's size, or itself, is on the host


class Watch(TorchDispatchMode):
    """Writes down the engine's functions on the stack whenever something waits for the meta device."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[list[str]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if any(torch.is_tensor(leaf) and leaf.is_meta for leaf in tree_leaves((args, kwargs))):
            leaves = func is torch.ops.aten._to_copy.default and torch.device(kwargs.get("device") or "meta") != META
            arrives = func is torch.ops.aten.copy_.default and not args[0].is_meta
            if leaves or arrives or func in (*WAITS, torch.ops.aten._local_scalar_dense.default):
                stack = traceback.extract_stack()
                self.seen.append([frame.name for frame in stack if frame.filename.startswith(ENGINE)])
            if leaves:
                return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
            if arrives:
                return args[0].zero_()
            if func is torch.ops.aten._local_scalar_dense.default:
                return 0
        return func(*args, **kwargs)


META = torch.device("meta")


@pytest.fixture
def waits(monkeypatch, few_held_out, tmp_path):
    """(step, functions on the stack) of every wait in the first 20 of 400 steps of a config, and its step events."""

    def collect(config):
        monkeypatch.setattr(plan, "pick_device", lambda *_: Device("meta", "no device at all", False))
        found, told = [], []
        with Watch() as watch:
            events = train(config, new_run(tmp_path, config))
            for event in takewhile(lambda event: event.get("step", 0) <= 20, events):
                if event["kind"] == "step":
                    found += watch.seen
                    told.append(event["step"])
                watch.seen.clear()
        return found, told

    return collect


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("scratch", {}),
        ("scratch", {"optimizer": "muon"}),
        ("soft_targets", {}),
        ("wid", {"cuts": 2, "closed_by": 0.05}),
    ],
)
def test_no_step_waits_for_the_device(method, options, waits):
    """Harm: a GPU that idles at every step because the host asks it for a number."""
    found, told = waits(tiny(method, steps=400, options=options, evaluations=1, checkpoints=1))
    assert told == list(range(2, 21, 2))
    assert [stack for stack in found if not MAY_WAIT & set(stack)] == []
    assert sum("_totals" in stack for stack in found) == len(told)  # one look at the device a step event
    assert any("_cut" in stack for stack in found) == (method == "wid")  # at 6 and 12; the last are gone after 18


class Curious(Scratch):
    """Asks the device for a number, or for a size, in every step."""

    asks = None

    def after_backward(self, student, optimizer, step):
        """Looks."""
        Curious.asks(next(student.parameters()).grad)
        return {}


@pytest.mark.parametrize("asks", [float, torch.Tensor.cpu, lambda total: bool(total.isnan().any())])
def test_a_wait_is_seen(asks, waits, monkeypatch):
    """Harm: the test above looks at nothing."""
    monkeypatch.setitem(METHODS, "scratch", Curious)
    monkeypatch.setattr(Curious, "asks", staticmethod(lambda grad: asks(grad.sum())))
    found, told = waits(tiny("scratch", steps=400, evaluations=1, checkpoints=1))
    assert sum(not MAY_WAIT & set(stack) for stack in found) == told[-1]
