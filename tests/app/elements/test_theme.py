"""Colours: the theme's own, and what is written on them can be read."""

import tomllib
from pathlib import Path

import pytest

from app.elements.bars import SHADES
from app.elements.theme import DARK, LIGHT, readable_on

CONFIG = tomllib.loads((Path(__file__).parents[3] / ".streamlit" / "config.toml").read_text())


def test_writing_on_every_shade_can_be_read() -> None:
    """Harm: black on dark blue, a label that nobody reads. 4.5 : 1 is what WCAG 2 asks for."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    for colours in (LIGHT, DARK):
        for role in ("teacher", "student"):
            for shade in SHADES:
                background = colours.tint(role, shade)
                pale, deep = sorted((luminance(background), luminance(readable_on(background))), reverse=True)
                assert (pale + 0.05) / (deep + 0.05) >= 4.5, (role, shade)


@pytest.mark.parametrize(("colours", "section"), [(LIGHT, "light"), (DARK, "dark")])
def test_roles_have_the_theme_s_colours(colours, section) -> None:
    """Harm: the teacher is blue in one chart and another blue, or orange, in the next."""
    theme = CONFIG["theme"][section]
    assert [colours.teacher, colours.student] == [colour.lower() for colour in theme["chartCategoricalColors"][:2]]
    assert colours.ink == theme["textColor"].lower()
