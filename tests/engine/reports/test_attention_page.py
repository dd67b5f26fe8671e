"""Attention in a page that needs nothing but itself."""

import base64
import json
import re

import numpy as np
import pytest

from engine.reports.attention_page import MAX_TOKENS, ModelAttention, attention_page, attention_section
from tests.fixtures.pages import HOSTILE


def test_attention_is_in_the_page_to_the_byte() -> None:
    """Harm: a head's map is shown under another head, transposed, or coarser than said."""
    rng = np.random.default_rng(0)
    maps = rng.dirichlet(np.ones(5), size=(3, 2, 5))
    markup, script = attention_section(
        [ModelAttention("teacher", HOSTILE, [HOSTILE, "a", "b", "c", "d"], maps)], (2, 1)
    )
    found = re.search(r'id="attention">(.*?)</script>', markup, re.DOTALL)
    assert found
    data = json.loads(found[1])
    model = data["models"][0]
    levels = np.frombuffer(base64.b64decode(model["maps"]), np.uint8).reshape(3, 2, 5, 5) / 255
    np.testing.assert_allclose(levels, maps, atol=0.5 / 255 + 1e-9)
    assert (model["layers"], model["heads"], data["open"]) == (3, 2, {"layer": 2, "head": 1})
    assert model["tokens"][0] == HOSTILE
    assert "http" not in script.replace("http://www.w3.org/2000/svg", "")  # a name, not an address


def test_attention_that_does_not_fit_is_refused() -> None:
    """Harm: a page of thousands of tokens hangs the browser, or a wrong array draws a wrong picture."""
    look = ModelAttention("teacher", "t", ["a"] * 3, np.zeros((1, 1, 3, 4)))
    with pytest.raises(ValueError, match="must be"):
        attention_section([look])
    with pytest.raises(ValueError, match=f"1 to {MAX_TOKENS}"):
        attention_section([ModelAttention("teacher", "t", ["a"] * 99, np.zeros((1, 1, 99, 99)))])
    with pytest.raises(ValueError, match="one or two"):
        attention_section([])
    assert (
        len(attention_page([ModelAttention("teacher", "t", ["a"] * 32, np.ones((12, 12, 32, 32)) / 32)] * 2, ""))
        < 1.5e6
    )
