"""Links of comparisons: what is written is read again, and nonsense is refused in words."""

from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.sizing.comparison import (
    MAX_CONFIGURATIONS,
    TABS,
    TRAINED_MODELS,
    Comparison,
    Configuration,
    clean_name,
    default_comparison,
    editable_fields,
)
from engine.sizing.comparison_link import MAX_PROBLEMS, from_link, to_link
from engine.sizing.cost import parameters
from engine.sizing.presets import PRESETS
from tests.fixtures.shapes import small_shapes

NAMES = st.text(max_size=60).map(lambda text: clean_name(text, "Student"))


def through_the_address_bar(comparison: Comparison) -> tuple[Comparison, list[str]]:
    """The comparison after a browser has written its link and somebody else has opened it."""
    return from_link(parse_qs(urlencode(to_link(comparison), doseq=True), keep_blank_values=True))


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    """Up to four configurations of any legal shape, and any view."""
    configurations = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=MAX_CONFIGURATIONS)):
        preset = draw(st.sampled_from(sorted(PRESETS)))
        configurations.append(Configuration(name, preset, editable_fields(draw(small_shapes()))))
    return Comparison(
        tuple(configurations),
        chosen=draw(st.integers(0, len(configurations) - 1)),
        tab=draw(st.sampled_from(TABS)),
        part=draw(st.sampled_from(["", "attention", "layer norms"])),
        tokens=draw(st.integers(1, 10**12)),
        device=draw(st.sampled_from(["", "h100", "here"])),
        trained_model=draw(st.sampled_from(TRAINED_MODELS)),
        memory_device=draw(st.sampled_from(["gpu", "cpu"])),
        optimizer=draw(st.sampled_from(["adamw", "adamw-8bit", "muon"])),
        checkpointing=draw(st.sampled_from(["no", "yes"])),
        micro_batches=draw(st.integers(1, 10**12)),
        devices=draw(st.integers(1, 10**6)),
        zero=draw(st.integers(0, 3)),
        budget=draw(st.sampled_from(["55M", "1.5e6", "12,000"])),
        keep=draw(st.sampled_from([(), ("layers",), ("layers", "vocab")])),
    )


@settings(max_examples=150, deadline=None)
@given(comparisons())
def test_a_link_opens_as_what_was_shared(comparison: Comparison) -> None:
    """Harm: somebody is sent a link and sees other models, names or numbers than the sender."""
    opened, problems = through_the_address_bar(comparison)
    assert problems == []
    assert opened == comparison


def test_the_page_as_it_begins_has_a_bare_link() -> None:
    """Harm: everybody's first link is three lines long."""
    assert to_link(default_comparison()) == {}
    assert from_link({}) == (default_comparison(), [])
    link = to_link(
        Comparison((Configuration.of("bert-base", "Teacher"), Configuration.of("bert-base", "X", hidden=384)))
    )
    assert link == {"v": "1", "c": ["bert-base~name.Teacher", "bert-base~hidden.384~name.X"]}


HOSTILE = st.one_of(
    st.text(max_size=60),
    st.sampled_from(["-1", "0", "1e3", str(10**12), str(10**40), "nan", "auto", "yes", "../../etc", "<script>", "٣"]),
)


PIECES = st.builds(
    lambda key, value: f"{key}.{value}", st.sampled_from(["hidden", "layers", "heads", "vocab", "tied", "x"]), HOSTILE
)


CONFIGURATIONS = st.builds(
    lambda preset, pieces: "~".join([preset, *pieces]),
    st.one_of(st.sampled_from(sorted(PRESETS)), HOSTILE),
    st.lists(PIECES, max_size=4),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.one_of(CONFIGURATIONS, HOSTILE), max_size=6),
    st.dictionaries(
        st.sampled_from(
            ["v", "at", "tab", "part", "tokens", "batch", "device", "budget", "of", "keep", "sweep", "steps"]
        ),
        HOSTILE,
        max_size=5,
    ),
)
def test_no_link_breaks_the_page(configurations: list[str], view: dict[str, str]) -> None:
    """Harm: a link with nonsense shows a traceback, hangs, or opens shapes that cannot be."""
    comparison, problems = from_link({"c": configurations, **{key: [value] for key, value in view.items()}})
    assert 1 <= len(comparison.configurations) <= MAX_CONFIGURATIONS
    assert 0 <= comparison.chosen < len(comparison.configurations)
    for one in comparison.configurations:
        assert parameters(one.shape) > 0
        assert one.name == clean_name(one.name, "")
    assert len(problems) <= MAX_PROBLEMS + 1
    assert all(len(problem) < 400 and "\n" not in problem for problem in problems)
    again, more = through_the_address_bar(comparison)  # what stands on the page is a good link again
    assert more == []
    assert again.configurations == comparison.configurations


@pytest.mark.parametrize(
    ("link", "says"),
    [
        ({"v": ["7"]}, "version"),
        ({"c": ["gpt-2"]}, "no preset 'gpt-2'"),
        ({"c": ["bert-base~hiden.3"]}, "no field 'hiden'"),
        ({"c": ["bert-base~hidden.770"]}, "use 11 or 14 heads"),
        ({"c": [f"bert-base~hidden.{10**12}"]}, "hidden must be between"),
        ({"c": ["bert-base~layers.many"]}, "whole number"),
        ({"c": ["bert-base~tied.perhaps"]}, "yes or no"),
        ({"c": ["bert-base~family.gpt"]}, "family must be one of"),
        ({"c": ["bert-base"] * 5}, "At most 4"),
        ({"tokens": ["0"]}, "tokens must be"),
        ({"device": ["abacus"]}, "device must be one of"),
        ({"budget": ["much"]}, "number with a unit"),
        ({"keep": ["magic"]}, "cannot be kept"),
    ],
)
def test_what_is_refused_is_said(link: dict[str, list[str]], says: str) -> None:
    """Harm: a value of the link is dropped in silence, and somebody trusts the number of another model."""
    _, problems = from_link(link)
    assert says in " ".join(problems)


def test_one_bad_value_leaves_the_others() -> None:
    """Harm: because the heads do not divide, the chosen vocabulary is lost too."""
    comparison, problems = from_link({"c": ["bert-base~layers.6~heads.7~vocab.5000~name.Mine"]})
    shape = comparison.configurations[0].shape
    assert (shape.layers, shape.heads, shape.vocab) == (6, 12, 5000)
    assert "does not divide into 7 heads" in problems[0]
    assert "'Mine'" in problems[0]
