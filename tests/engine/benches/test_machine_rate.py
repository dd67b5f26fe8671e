"""This machine's rates, measured for a moment."""

from engine.benches.machine_rate import STEP, measure
from engine.settings.device import Device
from engine.sizing.footprint import TrainingBatch, training_flops


def test_rates_are_measured(capsys) -> None:
    """Harm: 'this machine' shows a rate of nothing, or of another unit."""
    rates = measure(Device("cpu", "CPU, for a test", mixed_precision=False), seconds=0.01)
    for name in ("float32", "bfloat16", "bandwidth", "step"):
        assert 1e7 < rates[name] < 1e16, name
    assert rates["step"] < 3 * rates["float32"]  # a training step is no faster than the products that it is made of
    assert rates["device"] == "CPU, for a test"
    assert training_flops(STEP, TrainingBatch(8, 128)) > 1e10
    assert capsys.readouterr().out.count("progress") == 4
