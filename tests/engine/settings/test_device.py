"""Which device computes, on machines that this one is not."""

import pytest
import torch

from engine.settings import device
from engine.settings.device import pick_device
from engine.settings.options import ConfigError


@pytest.fixture
def two_gpus(monkeypatch):
    """A machine with two GPUs; the list of those that were chosen."""
    chosen = []
    fakes = {"is_available": lambda: True, "device_count": lambda: 2, "set_device": chosen.append}
    for name, fake in {**fakes, "get_device_name": lambda: "A GPU", "is_bf16_supported": lambda: True}.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    return chosen


def test_every_process_of_a_machine_has_a_gpu_of_its_own(two_gpus, monkeypatch):
    """Harm: eight processes on the first of eight GPUs."""
    assert (pick_device("auto").type, pick_device("cuda").count) == ("cuda", 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert pick_device("auto").name == "A GPU"
    assert two_gpus == [0, 0, 1]
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ConfigError, match="Process 3 of this machine has no GPU") as caught:
        pick_device("auto")
    assert len(caught.value.problems) == 1


def test_a_missing_device_is_one_sentence(monkeypatch):
    """Harm: a traceback of the driver for a run that was set up on another machine."""
    monkeypatch.setattr(device.torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no cuda device; it has .*cpu"):
        pick_device("cuda")
    assert pick_device("cpu").count >= 1


def test_a_precision_can_be_asked_for():
    """Harm: a run that says bfloat16 and computes in float32, or the other way round."""
    assert not pick_device("cpu").mixed_precision
    assert not pick_device("cpu", "float32").mixed_precision
    device = pick_device("cpu", "bfloat16")
    assert device.mixed_precision
    x = torch.randn(4, 4)
    with device.autocast():
        assert (x @ x).dtype == torch.bfloat16
    with pick_device("cpu", "float32").autocast():
        assert (x @ x).dtype == torch.float32
