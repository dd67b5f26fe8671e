import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.sizing.shape import FAMILIES, LARGEST_NUMBER, SHARINGS, Shape, ShapeError, nearest_divisors

SIZES = ("layers", "hidden", "heads", "head_dim", "ffn", "vocab", "positions", "token_types", "embedding", "groups")
SWITCHES = ("pooler", "mlm_head", "pair_head", "tied")
WORDS = {"family": FAMILIES, "sharing": SHARINGS, "activation": ("gelu", "gelu_new")}
PLAUSIBLE: dict[str, st.SearchStrategy] = {
    **{name: st.sampled_from([1, 2, 3, 4, 12, 768]) for name in SIZES},
    **{name: st.booleans() for name in SWITCHES},
    **{name: st.sampled_from(words) for name, words in WORDS.items()},
}
HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, LARGEST_NUMBER, LARGEST_NUMBER + 1, 10**5000, -(10**5000)]),
    st.floats(),
    st.text(max_size=100),
    st.lists(st.integers(), max_size=2),
)
FIELDS = st.fixed_dictionaries({}, optional=PLAUSIBLE)
SPOILED = st.builds(
    lambda fields, spoiled: {**fields, **spoiled},
    FIELDS,
    st.dictionaries(st.sampled_from([*SIZES, *SWITCHES, *WORDS]), HOSTILE, max_size=3),
)


def problems_of(**fields: Any) -> list[str]:
    """The problems that Shape reports for `fields`."""
    with pytest.raises(ShapeError) as caught:
        Shape(**fields)
    return caught.value.problems


def test_bert_base_is_the_default_and_its_derived_fields_follow() -> None:
    """Harm: a person who opens the page sees numbers that belong to no known model."""
    shape = Shape()
    assert (shape.layers, shape.hidden, shape.heads, shape.head_dim) == (12, 768, 12, 64)
    assert (shape.ffn, shape.embedding, shape.inner, shape.factorised) == (3072, 768, 768, False)
    assert str(shape) == "12 x 768, 12 heads x 64, FFN 3072"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SPOILED)
def test_any_fields_make_a_shape_or_a_shape_error(fields: dict[str, Any]) -> None:
    """Harm: a typed-in value crashes the page with a traceback instead of a sentence."""
    shape, problems = None, []
    try:
        shape = Shape(**fields)
    except ShapeError as error:
        problems = error.problems
    assert (shape is None) == bool(problems)
    assert all(problem.endswith(".") and len(problem) < 300 for problem in problems)
    if shape is not None:
        assert all(1 <= getattr(shape, name) <= LARGEST_NUMBER for name in SIZES if name != "token_types")


@settings(max_examples=100, deadline=None)
@given(FIELDS)
def test_a_shape_survives_json_and_an_empty_replace(fields: dict[str, Any]) -> None:
    """Harm: a shared link or a stored run opens as another model than the one that was saved."""
    try:
        shape = Shape(**fields)
    except ShapeError:
        return
    assert Shape.from_json(json.loads(json.dumps(shape.to_json()))) == shape
    assert shape.replace() == shape


def test_every_mistake_is_reported_at_once() -> None:
    """Harm: a person repairs one field, submits, and is told of the next, field after field."""
    problems = problems_of(layers=0, vocab=-5, family="gpt", sharing="some", pair_head=True)
    assert [problem.split()[0] for problem in problems] == ["layers", "vocab", "family", "sharing", "pair_head"]


def test_one_wrong_width_is_one_problem() -> None:
    """Harm: a person who mistyped hidden is also blamed for ffn and embedding, which they never touched."""
    for hidden in (0, -768, 10**10):
        assert [problem.split()[0] for problem in problems_of(hidden=hidden)] == ["hidden"]


@pytest.mark.parametrize("value", ["768", 768.0, True, None, [768], float("nan")])
def test_a_number_field_takes_whole_numbers_only(value: object) -> None:
    """Harm: text or True from a URL slips into arithmetic ('768' * 4, or 1 layer) and gives a confident wrong count."""
    assert problems_of(hidden=value) == [f"hidden must be a whole number, got {value!r}."]


def test_switches_and_words_take_their_own_kind_only() -> None:
    """Harm: the text 'false' counts as true and adds a pooler; a number as a family fails far from its cause."""
    assert problems_of(pooler="false", tied=1, family=3) == [
        "family must be a word, got 3.",
        "pooler must be true or false, got 'false'.",
        "tied must be true or false, got 1.",
    ]


def test_a_monstrous_value_is_refused_in_a_short_sentence() -> None:
    """Harm: Python's own error for printing 5,000 digits escapes, or a page of digits fills the screen."""
    for problem in problems_of(layers=10**5000, groups=10**5000, heads=-(10**50), vocab="x" * 10**6):
        assert len(problem) < 200


def test_heads_that_do_not_divide_get_the_nearest_that_do() -> None:
    """Harm: 516 with 8 heads is refused and nobody says which head counts would work."""
    (problem,) = problems_of(hidden=516, heads=8)
    assert "use 6 or 12 heads, or hidden 512." in problem
    for heads in (6, 12):
        assert Shape(hidden=516, heads=heads).inner == 516
    assert Shape(hidden=512, heads=8).head_dim == 64


def test_whole_heads_may_span_less_than_the_width() -> None:
    """Harm: the student of the head strategy (8 heads of 64 in 516 dims) cannot be described at all."""
    assert Shape(hidden=516, heads=8, head_dim=64).inner == 512


@pytest.mark.parametrize(("number", "wanted"), [(1, 1), (516, 8), (768, 768), (999_999_937, 12), (10**9, 3), (12, 99)])
def test_nearest_divisors_divide_and_stand_on_both_sides(number: int, wanted: int) -> None:
    """Harm: the message proposes a head count that is refused too."""
    near = nearest_divisors(number, wanted)
    assert near
    assert all(number % divisor == 0 for divisor in near)
    assert near == sorted(near, key=lambda divisor: abs(divisor - wanted))


def test_replace_lets_derived_fields_follow() -> None:
    """Harm: halving the width leaves the FFN at the teacher's size, and the student is far larger than it looks."""
    half = Shape().replace(hidden=384)
    assert (half.head_dim, half.ffn, half.embedding) == (32, 1536, 384)


def test_replace_keeps_what_was_set_on_purpose() -> None:
    """Harm: a change of depth silently resets a chosen FFN, embedding or head size, or refuses a legal shape."""
    chosen = Shape(hidden=516, heads=8, head_dim=64, ffn=1200, embedding=128).replace(layers=6)
    assert (chosen.head_dim, chosen.ffn, chosen.embedding, chosen.layers) == (64, 1200, 128, 6)


def test_unknown_fields_are_named() -> None:
    """Harm: a misspelt field of a stored shape is dropped, and the run continues with a default nobody asked for."""
    for data in ({"hiden": 768}, {"hiden": 768, 3: 1}):
        with pytest.raises(ShapeError, match="hiden"):
            Shape.from_json(data)
    with pytest.raises(ShapeError, match="list"):
        Shape.from_json([768])  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="hiden"):
        Shape().replace(hiden=768)


def test_groups_may_not_outnumber_layers() -> None:
    """Harm: groups without a layer are stored and never run, and the parameter count is too high."""
    assert "3 layers" in problems_of(layers=3, groups=4, sharing="all", family="albert")[0]


@given(st.integers(1, 300), st.data())
@settings(max_examples=60, deadline=None)
def test_groups_are_runs_of_layers_and_none_is_empty(layers: int, data: st.DataObject) -> None:
    """Harm: a group owns no layer (stored weights never trained), or a layer asks for a group that does not exist."""
    groups = data.draw(st.integers(1, layers))
    shape = Shape(layers=layers, groups=groups, sharing="all")
    owners = [shape.group_of(layer) for layer in range(layers)]
    assert owners == sorted(owners)
    assert set(owners) == set(range(groups))


def test_sharing_says_which_part_is_shared() -> None:
    """Harm: attention-only and FFN-only sharing are swapped, and the dearer one is sold as the cheaper."""
    shared = {sharing: [Shape(sharing=sharing).shares(part) for part in ("attention", "ffn")] for sharing in SHARINGS}
    assert shared == {"none": [False, False], "attention": [True, False], "ffn": [False, True], "all": [True, True]}
