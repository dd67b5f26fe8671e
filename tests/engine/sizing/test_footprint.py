"""FLOPs, bytes and memory, against torch's own counters and against what a forward pass really keeps."""

import pytest
from hypothesis import given, settings

from engine.sizing.cost import parameters
from engine.sizing.footprint import (
    FLOP_PARTS,
    PRECISIONS,
    TrainingBatch,
    activation_bytes,
    autocast_copy_bytes,
    executed_by_part,
    flops,
    flops_by_part,
    predicted_tokens,
    stored_bytes,
    training_flops,
    training_memory,
)
from engine.sizing.shape import LARGEST_NUMBER, Shape
from tests.fixtures.shapes import small_shapes


@settings(max_examples=150, deadline=None)
@given(small_shapes(compressed=True))
def test_the_parts_of_the_work_are_all_of_it(shape: Shape) -> None:
    """Harm: the shares of a pass do not add up, or a part has a name that no table knows."""
    work = flops_by_part(shape, 4, 2)
    assert sum(work.values()) == flops(shape, 4, 2)
    assert tuple(work) == FLOP_PARTS


@settings(max_examples=6, deadline=None)
@given(small_shapes(compressed=True))
def test_flops_are_those_that_torch_counts_in_our_own_model(shape: Shape) -> None:
    """Harm: attention's quadratic term is forgotten, or shared layers are thought to run once."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from engine.model.bert import Bert

    with torch.device("meta"):
        bert, ids = Bert(shape), torch.zeros(3, 4, dtype=torch.long)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        hidden = bert.encode(ids, trace={"attentions": []})
        if bert.head is not None:
            bert.head(hidden, bert.embeddings.word.weight)
        if bert.pair is not None:
            bert.pair_logits(hidden)
        elif bert.pooler is not None:
            bert.pooler(hidden[:, 0])
    assert counter.get_total_flops() == 3 * flops(shape, 4)


def test_attention_scores_grow_with_the_square_of_the_tokens() -> None:
    """Harm: long sequences look as cheap as short ones."""
    short, long = (flops_by_part(Shape(), tokens) for tokens in (128, 512))
    assert long["attention scores"] == 16 * short["attention scores"] == 16 * 2 * 12 * 2 * 128**2 * 768
    assert long["ffn"] == 4 * short["ffn"]


def kept_for_backward(shape: Shape, batch: TrainingBatch) -> tuple[int, int]:
    """(bytes of activations, bytes of bfloat16 copies of weights) that a real forward pass keeps, each storage once."""
    import contextlib

    import torch
    import torch.nn.functional as F

    from engine.model.bert import new_bert

    bert, kept = new_bert(shape, seed=0), {}
    own = {parameter.untyped_storage().data_ptr() for parameter in bert.parameters()}
    matrices = {tuple(parameter.shape) for parameter in bert.parameters() if parameter.ndim == 2}
    matrices |= {(columns, rows) for rows, columns in matrices}

    def pack(tensor):
        place = tensor.untyped_storage().data_ptr()
        if place not in own:
            copy = tensor.dtype == torch.bfloat16 and tuple(tensor.shape) in matrices
            kept[place] = (
                tensor.untyped_storage().nbytes(),
                copy,
                tensor,
            )  # held, or its place is used again
        return tensor

    ids = torch.randint(0, shape.vocab, (batch.sequences, batch.tokens))
    seen = torch.ones_like(ids, dtype=torch.bool)
    places, words = torch.arange(batch.predicted), torch.zeros(batch.predicted, dtype=torch.long)
    half = batch.precision == "bfloat16"
    casting = torch.autocast("cpu", torch.bfloat16) if half else contextlib.nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), casting:
        loss = F.cross_entropy(bert(ids, seen, positions=places).float(), words)
    assert loss.requires_grad
    sizes = [(size, copy) for size, copy, _ in kept.values()]
    return sum(size for size, copy in sizes if not copy), sum(size for size, copy in sizes if copy)


# odd sizes, all different, so that no term can stand in for another
ODD = {"layers": 3, "hidden": 40, "heads": 3, "head_dim": 8, "ffn": 56, "vocab": 70, "positions": 16}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tied": False},
        {"embedding": 20},
        {"sharing": "all", "embedding": 20, "family": "albert"},
        {"sharing": "ffn"},
    ],
    ids=["bert", "untied", "factorised", "albert", "shared ffn"],
)
def test_activations_are_what_a_forward_pass_really_keeps(precision: str, changes: dict, monkeypatch) -> None:
    """Harm: a run that 'fits' ends with out of memory, because a tensor was left out of the sum."""
    # what is counted is fused attention, as on a GPU
    monkeypatch.setattr("engine.model.bert.fused_attention_is_slow", lambda query: False)
    shape, batch = Shape(**ODD, **changes), TrainingBatch(5, 11, precision)
    activations, copies = kept_for_backward(shape, batch)
    if precision == "bfloat16" and shape.factorised:  # on a CPU the stream stays in bfloat16; the rule is a GPU's
        activations += 8 * 5 * 11 * shape.hidden * shape.layers
    assert (activations, copies) == (activation_bytes(shape, batch), autocast_copy_bytes(shape, batch))


def test_training_memory_is_sixteen_bytes_a_parameter_and_activations() -> None:
    """Harm: Adam's moments or the gradients are forgotten."""
    memory = training_memory(Shape(), TrainingBatch(1, 1))
    assert memory.total - memory.activations == 16 * parameters(Shape())
    assert (memory.weights, memory.gradients, memory.moments) == tuple(k * 4 * 109_514_298 for k in (1, 1, 2))


def test_bytes_by_precision() -> None:
    """Harm: int4 is rounded down to a file that does not hold the last weight; or a float loses a digit."""
    shape = Shape(layers=1, hidden=2, heads=1, ffn=3, vocab=5, positions=4, mlm_head=False)
    odd = shape if parameters(shape) % 2 else shape.replace(ffn=4)
    count = parameters(odd)
    wanted = [4 * count, 2 * count, count, (count + 1) // 2]
    assert [stored_bytes(odd, precision) for precision in PRECISIONS] == wanted
    huge = Shape(layers=LARGEST_NUMBER, hidden=LARGEST_NUMBER, heads=1, ffn=LARGEST_NUMBER - 1)
    assert stored_bytes(huge, "float32") == 4 * parameters(huge)
    with pytest.raises(ValueError, match="float32, bfloat16, int8, int4"):
        stored_bytes(shape, "int2")


def test_executed_parameters_count_sharing_as_often_as_it_runs() -> None:
    """Harm: ALBERT's twelve million stored parameters are taken for twelve million in use."""
    albert = Shape(family="albert", sharing="all", embedding=128)
    own = albert.replace(sharing="none")
    assert executed_by_part(albert) == executed_by_part(own)
    assert sum(executed_by_part(albert).values()) == parameters(own) + 128 * 30522  # and the tied decoder again


def test_a_training_step_is_three_forward_passes() -> None:
    """Harm: times of training are promised three times too short."""
    batch = TrainingBatch(32, 128)
    assert predicted_tokens(128) == 19
    assert training_flops(Shape(), batch) == 3 * 32 * flops(Shape(), 128, 19)


@pytest.mark.parametrize("wrong", [{"sequences": 0}, {"tokens": -1}, {"precision": "int8"}, {"sequences": 10**13}])
def test_a_batch_that_makes_no_sense_is_refused(wrong: dict) -> None:
    """Harm: a negative memory."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainingBatch(**wrong)
