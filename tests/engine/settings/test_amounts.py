"""Amounts as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.settings.amounts import format_duration, format_number, parse_amount


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("55M", "parameters", 55e6),
        ("11e6", "parameters", 11e6),
        (" 1,000,000 ", "parameters", 1e6),
        ("0.3B", "parameters", 3e8),
        ("110 MB", "bytes", 110e6),
        ("1 MiB", "bytes", 2**20),
        ("512", "bytes", 512),
        ("22.5 GFLOPs", "flops", 22.5e9),
        ("22G", "flops", 22e9),
        ("1.5 ms", "latency", 1.5e-3),
        ("50us", "latency", 50e-6),
        ("2", "latency", 2.0),
    ],
)
def test_amounts_are_read(text: str, kind: str, value: float) -> None:
    """Harm: 110 MB is taken for 110 bytes."""
    assert parse_amount(text, kind) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("", "parameters"), ("-5M", "parameters"), ("much", "bytes"), ("0", "flops"), ("5 ms", "bytes"), ("5M", "latency")]
    + [("1e99", "parameters"), ("9" * 500, "parameters"), ("nan", "flops"), ("inf", "flops"), ("5 <b>", "bytes")],
)
def test_nonsense_is_refused_in_words(text: str, kind: str) -> None:
    """Harm: a traceback, or a budget of nothing."""
    with pytest.raises(ValueError, match="budget|unit") as refused:
        parse_amount(text, kind)
    assert len(str(refused.value)) < 200


@given(st.text(max_size=100), st.sampled_from(["parameters", "bytes", "flops", "latency"]))
def test_any_text_is_a_number_or_refused(text: str, kind: str) -> None:
    """Harm: a pasted text breaks the page."""
    said = ""
    try:
        assert parse_amount(text, kind) > 0
    except ValueError as refused:
        said = str(refused)
    assert said == "" or said.endswith((".", "'"))


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (109_514_298, "", "110M"),
        (54.8e6, "B", "54.8 MB"),
        (0, "B", "0 B"),
        (999_999, "B", "1.00 MB"),
        (12, "B", "12.0 B"),
    ]
    + [(2.5e9, "", "2.50B"), (2.5e9, "FLOP", "2.50 GFLOP"), (10**40, "B", "1.00e40 B")],
)
def test_short_numbers(value: float, unit: str, said: str) -> None:
    """Harm: '1,000 MB', or a number that no tile can hold."""
    assert format_number(value, unit) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(6.52e-5, "65.2 µs"), (0.0015, "1.50 ms"), (41, "41.0 s"), (7500, "2 h 5 min"), (86400 * 65, "65 days")]
    + [(300, "5 min"), (86400 * 365.25 * 3100, "3,100 years")],
)
def test_durations(seconds: float, said: str) -> None:
    """Harm: 5,616,000 s, which nobody reads as two months."""
    assert format_duration(seconds) == said
