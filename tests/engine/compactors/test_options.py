"""The options of WID: what its presets mean, and what is refused."""

import pytest

from engine.methods.wid import Wid, WidOptions
from engine.settings.options import ConfigError, parse_options
from engine.sizing.shape import Shape


def test_the_paper_s_preset_is_the_release_s_command_line():
    """Harm: "paper" on the button, something else in the run. Figures: README of the authors' release."""
    options = parse_options(WidOptions, Wid.about.presets["paper"])
    assert (options.interval, options.penalty, options.lr, options.compactor_lr) == (500, 20.0, 1e-6, 5e-5)
    assert (options.rule, options.ranking, options.closing) == ("release", "reference", "penalty")
    assert options.compactor_decay == 0.01
    assert WidOptions(**Wid.about.presets["quick"]) == WidOptions()
    closing_ends = Wid(options, 400_000).plan(Shape(), Shape()).interval * 17
    assert closing_ends / 400_000 == pytest.approx(0.02, abs=0.002)  # "everything in about 2% of the run"


@pytest.mark.parametrize("value", [0, -3, float("nan"), "much"])
def test_a_penalty_must_be_positive(value):
    """Harm: lambda 0 closes nothing, a negative one drives vectors away from zero for ever."""
    with pytest.raises(ConfigError, match="penalty must be"):
        parse_options(WidOptions, {"penalty": value})
