"""The colours of light and dark paper, for everything that is drawn. Imports neither streamlit nor plotly.

Teacher and student keep one colour each, everywhere: blue and orange, which people with any colour vision tell apart.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """The colours of one page."""

    ink: str
    quiet: str  # axes, grid labels
    grid: str
    teacher: str
    student: str
    empty: str  # attention 0; the gaps between heads
    closed: str  # a dim that is gone; darker than the paper, on light and on dark
    series: tuple[str, ...]  # for lines that are neither
    paper: str  # the page's own colour

    def role(self, name: str) -> str:
        """The colour of "teacher" or "student"."""
        return self.teacher if name.lower().startswith("teacher") else self.student

    def model(self, index: int) -> str:
        """The colour of a comparison's model `index` (from 0): the teacher's, the student's, then two others."""
        return (self.teacher, self.student, self.series[1], self.series[0])[index % 4]

    def tint(self, role: str, strength: float) -> str:
        """The colour of `role` at `strength` 0-1, from empty paper to the full colour."""
        return mix(self.empty, self.role(role), strength)

    def paler(self, colour: str) -> str:
        """A line's `colour` for the line that only says where it is going."""
        return mix(self.empty, colour, 0.5)


FAINT_ROOT = 0.6  # of a scale of attention, most of which is faint
STOPS = tuple(step / 8 for step in range(9))  # of a colour scale, as shares of the way

LIGHT = Theme(
    "#14171c",
    "#5f6675",
    "#e3e0da",
    "#0b5cad",
    "#c8500a",
    "#f4f2ee",
    "#241a15",
    ("#4a1e5e", "#00916b", "#c9679b", "#737b86"),
    "#ffffff",
)
DARK = Theme(
    "#e7e8ea",
    "#a3a8b8",
    "#3d434e",
    "#6cb4f5",
    "#ffa552",
    "#20242b",
    "#060709",
    ("#b87ad9", "#2fa583", "#f3e96b", "#8a93a3"),
    "#15171b",
)


def theme(dark: bool) -> Theme:
    """The colours for dark or light paper."""
    return DARK if dark else LIGHT


def readable_on(colour: str) -> str:
    """Black or white, whichever is easier to read on `colour` (#rrggbb); relative luminance as WCAG 2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb(colour))]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"


def with_opacity(colour: str, opacity: float) -> str:
    """`colour` (#rrggbb) as a see-through CSS colour, `opacity` 0-1."""
    return "rgba({}, {}, {}, {})".format(*rgb(colour), opacity)


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of "#rrggbb", each 0-255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def mix(a: str, b: str, share: float) -> str:
    """The colour that lies `share` 0-1 of the way from `a` to `b`."""
    mixed = (round(x + (y - x) * share) for x, y in zip(rgb(a), rgb(b), strict=True))
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def colour_scale(colour: str, colours: Theme, root: float = 1.0) -> list[tuple[float, str]]:
    """Stops (share of the way, colour) from empty paper to `colour`; a `root` below 1 shows faint values better."""
    return [(share, mix(colours.empty, colour, share**root)) for share in STOPS]


def diverging_scale(negative: str, positive: str, colours: Theme, root: float = 1.0) -> list[tuple[float, str]]:
    """Stops from `negative` over empty paper, for zero, to `positive`."""
    below = [(0.5 - share / 2, mix(colours.empty, negative, share**root)) for share in STOPS[:0:-1]]
    return [*below, *((0.5 + share / 2, mix(colours.empty, positive, share**root)) for share in STOPS)]
