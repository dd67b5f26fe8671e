"""What TinyBERT, MiniLM and MiniLMv2 promise alike, and DistilBERT where it refuses as they do."""

import re

import pytest

from engine.methods.registry import METHODS
from engine.settings.options import parse_options
from engine.sizing.shape import Shape, ShapeError
from tests.fixtures.builders import STEPS, wanted_of

pytestmark = pytest.mark.usefixtures("few_held_out")


@pytest.mark.parametrize(
    ("name", "options", "wanted", "says"),
    [
        ("distilbert", {}, {"hidden": 16}, "choose fewer layers"),
        ("tinybert", {}, {"heads": 2}, "use 4 heads"),
        ("tinybert", {}, {"layers": 3}, "use 2 or 4 layers"),
        ("minilm", {}, {"hidden": 24, "heads": 6}, "use 4 heads at hidden 24, or MiniLMv2"),
        ("minilmv2", {"relation_heads": 5}, {}, "use one of 1, 2, 4"),
        ("minilmv2", {"teacher_layer": 9}, {}, "has 4 layers"),
    ],
)
def test_what_a_paper_cannot_do_is_refused_with_what_works(name, options, wanted, says):
    """Harm: a broadcast instead of a comparison, or an error that tells nobody what to choose."""
    kind = METHODS[name]
    method = kind(parse_options(kind.Options, options), STEPS)
    with pytest.raises(ShapeError, match=says):
        method.student_shape(Shape(layers=4, hidden=32, heads=4), wanted)


@pytest.mark.parametrize("name", ["tinybert", "minilm"])
@pytest.mark.parametrize(("hidden", "heads"), [(35, 5), (38, 2), (3, 3), (6, 6), (42, 3)])
def test_the_shape_that_a_refusal_names_works_and_is_the_nearest(name, hidden, heads):
    """Harm: advice that is refused in turn, or that throws away more width than it has to."""
    method, big = METHODS[name](METHODS[name].Options(), STEPS), Shape(layers=4, hidden=64, heads=4)
    with pytest.raises(ShapeError) as caught:
        method.student_shape(big, {"hidden": hidden, "heads": heads})
    advised = int(re.search(r"use 4 heads at hidden (\d+)", str(caught.value)).group(1))
    assert method.student_shape(big, {"hidden": advised, "heads": 4}).hidden == advised
    assert abs(advised - hidden) == min(abs(width - hidden) for width in range(4, 65, 4))


@pytest.mark.parametrize("name", ["tinybert", "minilm", "minilmv2"])
def test_the_papers_own_preset_teaches_no_head(name, knowing, corpus):
    """Harm: a preset called `paper` whose loss is another than the paper's."""
    kind = METHODS[name]
    method = kind(parse_options(kind.Options, kind.about.presets["paper"]), STEPS)
    student = method.init_student(knowing, method.student_shape(knowing.shape, wanted_of(kind)), 0)
    terms = method.losses(student, knowing, corpus.batch(0, 8, 0))
    assert terms["masked-LM"].item() == 0
    assert sum(term.item() > 0 for term in terms.values()) == len(terms) - 1
