"""Known shapes: they have their known sizes, and what papers print stands beside them."""

import json
from pathlib import Path

import pytest

from engine.sizing.cost import parameters
from engine.sizing.presets import PRESETS, find_preset, published_counts
from engine.sizing.shape import Shape, ShapeError
from engine.sizing.tensors import tensor_kinds

FACTS = json.loads((Path(__file__).parents[2] / "fixtures/model_sizes.json").read_text())
SAME = {
    **{f"bert-{size}": f"bert-{size}" for size in ("tiny", "mini", "small", "medium", "base", "large")},
    **{f"albert-{size}": f"albert-{size}-v2" for size in ("base", "large", "xlarge", "xxlarge")},
    "distilbert": "distilbert",
    "tinybert-4": "tinybert-4",
    "tinybert-6": "tinybert-6",
    "minilm-6": "minilm-l6-h384",
    "minilm-12": "minilm-l12-h384",
    "wid55-516": "wid-12x516",
    "wid55-512": "wid-12x512",
    "wid11": "wid-12x192",
}


@pytest.mark.parametrize("name", SAME)
def test_presets_have_the_sizes_of_the_library(name: str) -> None:
    """Harm: somebody picks 'ALBERT xxlarge' and gets the size of another model."""
    fact, shape = FACTS[SAME[name]], PRESETS[name].shape
    assert parameters(shape) == fact["masked_lm"]
    assert parameters(shape.replace(mlm_head=False)) == fact["encoder_no_pooler"]


def test_the_worked_example_is_there() -> None:
    """Harm: ALBERT's section 3.1 cannot be followed on the page."""
    whole = {entry.name: entry.count for entry in tensor_kinds(find_preset("example-whole").shape)}
    halves = {entry.name: entry.count for entry in tensor_kinds(find_preset("example-halves").shape)}
    assert whole["word embedding table"] == 10_240_000
    assert halves["word embedding table"] + halves["embedding projection weight"] == 5_644_288


def test_microworld_is_the_teacher_that_is_shipped() -> None:
    """Harm: the preset and the teacher of the same name drift apart."""
    from engine.teachers.catalog import teacher_card

    shipped = teacher_card("microworld").shape
    assert parameters(find_preset("microworld").shape) == parameters(
        shipped.replace(pooler=False, pair_head=False, tied=True)
    )


def test_a_paper_speaks_of_an_encoder_whatever_heads_are_counted() -> None:
    """Harm: switching the pooler on hides what the paper says; or a changed shape still carries the paper's number."""
    base = Shape()
    assert [said.parameters for said in published_counts(base)] == ["110M", "108M"]
    assert published_counts(base.replace(pooler=True, mlm_head=False)) == published_counts(base)
    assert published_counts(base.replace(layers=11)) == ()
    assert published_counts(base.replace(sharing="all")) == ()
    assert all(said.source for preset in PRESETS.values() for said in preset.published)


@pytest.mark.parametrize(
    "name", [name for name in PRESETS if "M" in "".join(s.parameters for s in PRESETS[name].published)]
)
def test_papers_and_exact_counts_are_near_one_another(name: str) -> None:
    """Harm: a citation belongs to another model; the papers' own ways to count differ by a few per cent."""
    shape = PRESETS[name].shape
    ways = [parameters(shape.replace(pooler=True, mlm_head=head, pair_head=head)) for head in (False, True)]
    for said in PRESETS[name].published:
        printed = 1e6 * float(said.parameters.removeprefix("about ").removesuffix("M"))
        assert min(abs(count / printed - 1) for count in ways) < 0.06, said


def test_an_unknown_preset_is_met_with_the_nearest() -> None:
    """Harm: 'bert base' is refused and nobody says that it is called bert-base."""
    with pytest.raises(ShapeError, match="bert-base"):
        find_preset("bert base")
    with pytest.raises(ShapeError) as refused:
        find_preset("x" * 10**6)
    assert len(str(refused.value)) < 600
