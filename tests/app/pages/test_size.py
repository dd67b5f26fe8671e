"""The size page as a whole: hostile names and broken links. Run without a browser."""

import re

from engine.sizing.comparison import TABS, Comparison, Configuration
from engine.sizing.cost import parameters
from engine.sizing.shape import Shape
from tests.fixtures.page_reading import by_label, html
from tests.fixtures.size_page import count, opened

HOSTILE = "<img src=x onerror=alert(1)>![](http://evil/x.png)[a](javascript:1)$x$:red[y]"


def test_names_are_text_everywhere() -> None:
    """Harm: a model's name in a link runs a script, or loads a picture from somewhere."""
    models = (Configuration.of("bert-base", HOSTILE[:40]), Configuration.of("albert-base", HOSTILE[28:68]))
    for tab in TABS:
        page = opened(Comparison(models, tab=tab, chosen=1))
        assert "<img" not in html(page)
        for texts in (page.markdown, page.caption, page.warning, page.error):
            for text in texts:
                assert not re.search(r"(?<!\\)!\[|(?<!\\)\]\(|(?<!\\):red\[|(?<!\\)<img", text.value), text.value
        assert not any(re.search(r"(?<!\\)!\[", option) for option in page.segmented_control[0].options)
    link = {"c": [f"{HOSTILE}~name.{HOSTILE}", f"bert-base~{HOSTILE}.1"], "tab": HOSTILE, "device": HOSTILE}
    page = opened(link)
    assert "<img" not in html(page)
    assert not re.search(r"(?<!\\)!\[|(?<!\\)\]\(", page.warning[0].value)
    assert "There is no preset" in page.warning[0].value


def test_a_link_with_nonsense_opens_the_page_and_says_so() -> None:
    """Harm: a typo in a link costs somebody the whole comparison."""
    page = opened({"v": "1", "c": ["bert-base~name.Teacher", f"bert-base~layers.6~hidden.{10**12}~name.Big"]})
    assert "1,000,000,000,000" in page.warning[0].value.replace("\\", "")
    assert count(page) == parameters(Shape(layers=6))
    by_label(page.slider, "Layers").set_value(3).run()
    assert not page.warning  # once something is changed the link has said what it had to say
