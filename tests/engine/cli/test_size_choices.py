"""Words that are no choice, given to the calculator and to whatever computes on a device."""

import pytest

from engine.__main__ import main
from engine.settings.device import pick_device
from engine.settings.options import ConfigError


@pytest.mark.parametrize("more", [[], ["--cost"], ["--budget", "11M"], ["--presets"], ["--csv"]])
@pytest.mark.parametrize("flag", ["--precision", "--device", "--of", "--strategy"])
def test_a_word_that_is_no_choice_is_refused_whatever_is_asked(flag, more, capsys) -> None:
    """Harm: a slip of the keyboard is ignored where the answer does not need it, and believed where it does."""
    assert main(["size", "--layers", "2", "--hidden", "64", "--heads", "2", flag, "banana", *more]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert f"{flag} must be" in said.err or "no device" in said.err
    assert "'banana'" in said.err


def test_a_precision_that_there_is_not_computes_nothing() -> None:
    """Harm: `evaluate --precision bf16` scores in float32 without a word."""
    with pytest.raises(ConfigError, match="precision must be one of auto, float32, bfloat16, got 'bf16'"):
        pick_device("cpu", "bf16")
