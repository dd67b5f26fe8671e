"""The computed peak of a training step and of a forward pass, against what torch's allocator records."""

import pytest

from engine.sizing.footprint import TrainingBatch
from engine.sizing.memory.step import StepPlan, inference_memory, library_objection, step_memory, step_variants
from engine.sizing.shape import Shape

BERT = Shape(layers=3, hidden=96, heads=4, vocab=1000, positions=128)
ALBERT = Shape(
    family="albert", sharing="all", layers=4, hidden=96, heads=3, embedding=32, vocab=700, activation="gelu_new"
)
DISTIL = BERT.replace(token_types=0, vocab=60)
SHALLOW = Shape(layers=1, hidden=160, heads=5, ffn=200, vocab=4000, activation="relu", tied=False)
NARROW = Shape(layers=8, hidden=60, heads=3, head_dim=16, ffn=100, vocab=300)
RANK = BERT.replace(rank=16, vocab=400)
UNEVEN = Shape(layers=3, hidden=96, heads=4, head_dim=24, ffn=384, layer_heads=(4, 2, 3), layer_ffn=(300, 384, 20))
HALF_SHARED = BERT.replace(sharing="ffn", vocab=200)
OURS, THEIRS = StepPlan("ours", device="cpu"), StepPlan(device="cpu")
EAGER = StepPlan(attention="eager", device="cpu")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("shape", "size", "plan"),
    [
        (BERT, (4, 32), THEIRS),
        (BERT, (4, 128), EAGER),
        (BERT, (16, 32), OURS),
        (BERT, (4, 64), StepPlan(device="cpu", dropout=False)),
        (BERT, (4, 64), StepPlan(device="cpu", keeps_logits=True)),
        (BERT.replace(layers=9), (4, 32), THEIRS),
        (BERT.replace(layers=6, vocab=200), (16, 32), StepPlan(device="cpu", checkpointing=True)),
        (BERT, (8, 64), StepPlan(device="cpu", micro_batches=4)),
        (ALBERT, (4, 128), THEIRS),
        (ALBERT, (4, 32), StepPlan(attention="eager", device="cpu", dropout=True)),
        (ALBERT.replace(groups=2), (4, 32), StepPlan(device="cpu", micro_batches=2)),
        (ALBERT, (16, 32), OURS),
        (DISTIL, (8, 64), EAGER),
        (SHALLOW, (2, 16), THEIRS),
        (NARROW, (16, 32), OURS),
        (RANK, (4, 128), OURS),
        (UNEVEN, (4, 64), OURS),
        (HALF_SHARED, (4, 64), OURS),
    ],
    ids=lambda value: f"{value[0]}x{value[1]}" if isinstance(value, tuple) else "",
)
def test_the_peak_of_a_step_is_what_torch_records(shape: Shape, size, plan: StepPlan, precision: str) -> None:
    """Harm: a run that 'fits' ends with out of memory, or a machine twice as large is bought."""
    from engine.benches.memory import measured_step

    batch = TrainingBatch(*size, precision)
    # in bfloat16 the CPU's products lay matrices out anew, which is much of a tiny step
    near = 0.01 if precision == "float32" else 0.05
    assert step_memory(shape, batch, plan).peak == pytest.approx(measured_step(shape, batch, plan), rel=near)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "sgd-momentum", "adafactor"])
def test_the_optimizer_s_moment_is_in_the_peak(optimizer: str) -> None:
    """Harm: a small batch fits, and the optimizer's own step does not."""
    from engine.benches.memory import measured_step

    shape, batch = Shape(layers=2, hidden=64, heads=2, vocab=9000), TrainingBatch(2, 8)
    plan = StepPlan(device="cpu", optimizer=optimizer)
    assert step_memory(shape, batch, plan).peak == pytest.approx(measured_step(shape, batch, plan), rel=0.01)
    untied = shape.replace(tied=False)
    assert step_memory(untied, batch, plan).peak == pytest.approx(measured_step(untied, batch, plan), rel=0.02)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("plan", [OURS, THEIRS, EAGER], ids=["ours", "sdpa", "eager"])
@pytest.mark.parametrize("shape", [BERT, ALBERT, ALBERT.replace(vocab=30, layers=1)], ids=["bert", "albert", "small"])
def test_a_forward_pass_holds_what_torch_records(shape: Shape, plan: StepPlan, precision: str) -> None:
    """Harm: a server is sized by the weights alone."""
    from engine.benches.memory import measured_inference

    batch = TrainingBatch(8, 64)
    near = 0.01 if precision == "float32" else 0.05  # as above
    measured = measured_inference(shape, batch, plan, precision)
    assert sum(inference_memory(shape, batch, plan, precision)) == pytest.approx(measured, rel=near)


def test_int8_weights_are_unpacked_one_matrix_at_a_time() -> None:
    """Harm: a quarter of the weights is promised as the whole memory."""
    (small, beside), (_, whole) = (
        inference_memory(BERT, TrainingBatch(1, 8), OURS, precision) for precision in ("int8", "bfloat16")
    )
    assert small * 4 == inference_memory(BERT, TrainingBatch(1, 8), OURS, "float32")[0]
    assert beside == whole + 2 * 1000 * 96


def test_checkpointing_and_micro_batches_save_memory_and_cut_up_devices_too() -> None:
    """Harm: a switch that changes nothing, or makes it worse."""
    shape, batch = Shape(), TrainingBatch(32, 128)
    whole = step_memory(shape, batch, StepPlan()).peak
    assert step_memory(shape, batch, StepPlan(checkpointing=True)).peak < 0.6 * whole
    assert step_memory(shape, batch, StepPlan(micro_batches=32)).peak < 0.5 * whole
    shares = [step_memory(shape, TrainingBatch(1, 8), StepPlan(zero=stage, devices=8)).peak for stage in range(4)]
    assert shares[0] > shares[1] > shares[2]
    assert shares[2] > shares[3]


def test_a_model_of_a_billion_layers_is_answered_at_once() -> None:
    """Harm: a typed zero too many freezes the page."""
    deep = Shape(layers=10**9)
    memory = step_memory(deep, TrainingBatch(1, 8), StepPlan())
    assert memory.peak > 16 * 10**9 * 7_000_000


def test_what_transformers_cannot_build_is_ours_alone() -> None:
    """Harm: memory of a class that does not exist."""
    assert not library_objection(BERT)
    assert not library_objection(ALBERT)
    for shape in (NARROW, RANK, UNEVEN, HALF_SHARED, ALBERT.replace(sharing="ffn"), BERT.replace(embedding=32)):
        assert library_objection(shape)
        assert {plan.implementation for plan, _ in step_variants(shape, TrainingBatch(1, 8), StepPlan())} == {"ours"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"implementation": "x"},
        {"attention": "x"},
        {"device": "x"},
        {"optimizer": "x"},
        {"micro_batches": 0},
        {"zero": 4},
        {"devices": 0},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_plan_that_makes_no_sense_is_refused(wrong: dict) -> None:
    """Harm: a slip of the keyboard is believed."""
    with pytest.raises(ValueError, match=next(iter(wrong)).replace("_", "-")):
        StepPlan(**wrong)
    with pytest.raises(ValueError, match="must not exceed"):
        step_memory(BERT, TrainingBatch(2, 8), StepPlan(micro_batches=3))


@pytest.mark.parametrize("shape", [BERT, ALBERT], ids=["bert", "albert"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_what_the_library_keeps_is_what_autograd_packs(shape: Shape, precision: str, attention: str) -> None:
    """Harm: the peak is right by chance, and activations are told in the wrong measure."""
    import torch

    from engine.benches.memory import build_model

    plan, batch = StepPlan(attention=attention, device="cpu", dropout=True), TrainingBatch(4, 64, precision)
    model, kept = build_model(shape, plan), {}
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in own:
            kept[place] = (tensor.untyped_storage().nbytes(), tensor)  # held, or its place is used again
        return tensor

    ids = torch.randint(0, shape.vocab, (4, 64))
    mask = torch.ones_like(ids)
    mask[0, -1] = 0
    half = precision == "bfloat16"
    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=half),
    ):
        loss = model(input_ids=ids, attention_mask=mask, labels=ids).loss
    assert loss.requires_grad
    found = sum(size for size, _ in kept.values())
    assert step_memory(shape, batch, plan).kept == pytest.approx(found, rel=0.005)
