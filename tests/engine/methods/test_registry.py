"""The registry of methods."""

import pytest

from engine.methods.registry import METHODS, find
from engine.settings.options import ConfigError

pytestmark = pytest.mark.usefixtures("few_held_out")


def test_unknown_methods_are_refused_by_name():
    """Harm: a KeyError from a link that somebody shortened."""
    assert find("wid") is METHODS["wid"]
    with pytest.raises(ConfigError, match="'magic'; choose one of wid"):
        find("magic")
