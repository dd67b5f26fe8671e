"""States of optimizers against torch's own, an 8-bit one by hand, and ZeRO against its paper's table."""

import pytest

from engine.sizing.memory.state import (
    OPTIMIZER_LABELS,
    TrainingState,
    gathered_bytes,
    optimizer_state_bytes,
    training_state,
)
from engine.sizing.shape import Shape
from tests.fixtures.shapes import small_shapes

SHAPES = [
    Shape(layers=2, hidden=64, heads=4, vocab=300, pooler=True, pair_head=True),
    Shape(layers=3, hidden=48, heads=4, vocab=300, family="albert", sharing="all", embedding=16, tied=False),
    Shape(layers=2, hidden=64, heads=4, vocab=300, rank=8),
]


@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZER_LABELS if name != "adamw-8bit"])
@pytest.mark.parametrize("shape", SHAPES, ids=["bert", "albert", "low rank"])
def test_states_are_those_of_torch(shape: Shape, optimizer: str) -> None:
    """Harm: what 'fits' with AdamW is said to fit with half of it."""
    import torch

    from engine.benches.memory import make_optimizer, state_bytes
    from engine.model.bert import new_bert

    bert = new_bert(shape, seed=0)
    real = make_optimizer(bert, optimizer, fused=False)
    for parameter in bert.parameters():
        parameter.grad = torch.ones_like(parameter)
    real.step()
    assert optimizer_state_bytes(shape, optimizer) == state_bytes(real)


def test_eight_bit_states_by_hand() -> None:
    """Harm: small tensors, which stay in 32 bits, and a block's scales are forgotten.

    As bitsandbytes 0.50.2 makes them on a CPU: 3,000 x 96 has two states of 288,000 bytes and two times 1,125 scales,
    4,095 elements have two float32 states, 7,000 have 28 blocks.
    """
    shape = Shape(layers=1, hidden=96, heads=3, ffn=40, vocab=3000, positions=8, mlm_head=False)
    table = 2 * 288_000 + 8 * 1125
    squares = 4 * (2 * 9216 + 8 * 36)  # query, key, value, output: 96 x 96
    small = 8 * (8 * 96 + 2 * 96 + 3 * 2 * 96 + 4 * 96 + 40 * 96 * 2 + 40 + 96)  # 40 x 96 is below 4,096
    assert optimizer_state_bytes(shape, "adamw-8bit") == 2048 + table + squares + small


def test_zero_as_in_its_paper() -> None:
    """Harm: a stage saves what it does not. Figure 1 of arXiv 1910.02054: 7.5B parameters, 64 devices, K = 12."""
    billion = 10**9
    state = TrainingState(weights=15 * billion, gradients=15 * billion, optimizer=90 * billion)
    found = [sum(vars(state.on_one_of(64, stage)).values()) / billion for stage in range(4)]
    assert found == pytest.approx([120, 31.4, 16.6, 1.9], abs=0.06)
    four = [sum(vars(state.on_one_of(4, stage)).values()) / billion for stage in range(4)]
    assert four == [120, 52.5, 41.25, 30]  # its table 1


def test_shares_never_lose_a_byte() -> None:
    """Harm: a device holds less than its part."""
    state = training_state(SHAPES[0])
    for stage in range(4):
        share = state.on_one_of(7, stage)
        for name, whole in vars(state).items():
            assert whole <= 7 * getattr(share, name)
    assert vars(state.on_one_of(1, 3)) == vars(state)


def test_what_is_gathered_is_the_largest_unit() -> None:
    """Harm: stage 3 is promised to need no whole layer at any time."""
    wide = Shape(layers=24, hidden=1024, heads=16, vocab=2)
    assert gathered_bytes(wide) == 8 * (4 * 1024 * 1025 + 2 * 4 * 1024 * 1024 + 5 * 1024)
    assert gathered_bytes(Shape(layers=1, hidden=64, heads=2)) > 8 * 30_522 * 64


@pytest.mark.parametrize("optimizer", OPTIMIZER_LABELS)
def test_every_kind_of_shape_has_a_state(optimizer: str) -> None:
    """Harm: an ending in a traceback for a shape that nobody tried."""
    from hypothesis import given, settings

    @settings(max_examples=20, deadline=None)
    @given(small_shapes(compressed=True))
    def every(shape: Shape) -> None:
        assert optimizer_state_bytes(shape, optimizer) >= 0

    every()
    with pytest.raises(ValueError, match="optimizer must be one of adamw, adamw-8bit"):
        optimizer_state_bytes(Shape(), "lion")
