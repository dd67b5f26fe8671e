"""The size page's tabs: none fails for any shape. Run without a browser."""

import pytest

from engine.sizing.comparison import TABS, Comparison, Configuration, editable_fields
from engine.sizing.cost import parameters
from engine.sizing.shape import LARGEST_NUMBER, Shape
from tests.fixtures.page_reading import html
from tests.fixtures.size_page import opened


@pytest.mark.parametrize("tab", TABS)
def test_every_tab_takes_the_largest_and_the_smallest_shape(tab: str) -> None:
    """Harm: an integer of thirty digits overflows in a table or a chart."""
    huge = Shape(**dict.fromkeys(("layers", "hidden", "heads", "ffn", "vocab", "positions"), LARGEST_NUMBER))
    tiny = Shape(**dict.fromkeys(("layers", "hidden", "heads", "ffn", "vocab", "positions"), 1))
    for shape in (huge, tiny):
        link = Comparison(
            (Configuration("A", "bert-base", editable_fields(shape)), Configuration.of("bert-base", "B")),
            chosen=0,
            tab=tab,
            tokens=1,
            device="h100",
        )
        page = opened(link)
        assert not page.exception
        assert f"{parameters(shape):,}" in html(page)
