"""How much memory a training step really takes, beside what the calculator says: python -m engine bench memory.

Measured as torch's own allocator counts, every allocation of a CPU in its order: what a process takes of the system
says more about the allocator than about the step. The second step is measured, when the optimizer has its state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from engine.benches.cases import check_repeats
from engine.learning.optimizers import adamw, fresh_optimizer
from engine.model.bert import new_bert
from engine.model.count_check import transformers_model
from engine.settings.amounts import format_number
from engine.sizing.footprint import TrainingBatch
from engine.sizing.memory.step import StepPlan, inference_memory, step_memory
from engine.sizing.shape import Shape, ShapeError

MINI = Shape(layers=6, hidden=384, heads=12)
ALBERT = Shape(family="albert", sharing="all", layers=12, hidden=256, heads=4, embedding=64, activation="gelu_new")
NARROW = Shape(layers=4, hidden=60, heads=3, head_dim=16, ffn=200, vocab=5000)
LOW_RANK = Shape(layers=4, hidden=192, heads=4, vocab=5000, rank=32)
CASES: tuple[tuple[str, Shape, str, tuple[int, int]], ...] = (
    ("MiniLM-6", MINI, "transformers", (4, 32)),
    ("MiniLM-6", MINI, "transformers", (16, 128)),
    ("MiniLM-6", MINI, "ours", (4, 32)),
    ("MiniLM-6", MINI, "ours", (16, 128)),
    ("ALBERT 12 x 256", ALBERT, "transformers", (4, 128)),
    ("ALBERT 12 x 256", ALBERT, "ours", (4, 128)),
    ("4 x 60, heads of 16", NARROW, "ours", (16, 32)),
    ("rank 32", LOW_RANK, "ours", (16, 32)),
)


def recorded_peak(work: Callable[[], object]) -> int:
    """The most bytes that `work` holds at once beyond what was there before, as torch's CPU allocator records them."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    events = recorded.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak


def build_model(shape: Shape, plan: StepPlan) -> nn.Module:
    """The model that `plan` speaks of, in training mode, on the CPU.

    Raises:
        ShapeError: transformers has no class for this shape.
    """
    if plan.implementation == "ours":
        return new_bert(shape, seed=0).train()
    model: Any = transformers_model(shape.replace(pooler=False, pair_head=False))
    if model is None:
        raise ShapeError(["transformers has no class for this shape; measure it as ours."])
    model.config._attn_implementation = plan.attention
    if plan.dropout is not None:
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.1 if plan.dropout else 0.0
    if plan.checkpointing:
        model.gradient_checkpointing_enable()
    return model.train()


def measured_step(shape: Shape, batch: TrainingBatch, plan: StepPlan) -> int:
    """Bytes at the peak of a training step on the CPU: weights, optimizer and batch included."""
    model = build_model(shape, plan)
    fused = plan.implementation == "ours" if plan.fused is None else plan.fused
    optimizer = make_optimizer(model, plan.optimizer, fused)
    sequences = -(-batch.sequences // plan.micro_batches)
    ids, mask = _padded_batch(shape, sequences, batch.tokens)
    places = torch.arange(sequences * (batch.predicted // batch.sequences))

    def loss() -> tuple[Tensor, object]:
        with torch.autocast("cpu", torch.bfloat16, enabled=batch.precision == "bfloat16"):
            if plan.implementation == "ours":
                words = torch.zeros_like(places)
                return F.cross_entropy(model(ids, mask.bool(), positions=places).float(), words), None
            output = model(input_ids=ids, attention_mask=mask, labels=ids)
            return output.loss, output if plan.keeps_logits else None

    def step() -> None:
        for _ in range(plan.micro_batches):
            value, output = loss()
            value.backward()
            del value, output
        optimizer.step()
        optimizer.zero_grad()

    step()
    held = sum(parameter.nbytes for parameter in model.parameters()) + state_bytes(optimizer)
    return held + recorded_peak(step) + 3 * ids.nbytes


def measured_inference(shape: Shape, batch: TrainingBatch, plan: StepPlan, precision: str) -> int:
    """Bytes at the peak of a forward pass without training, weights included."""
    model = build_model(shape, plan).eval().to(getattr(torch, precision))
    ids, mask = _padded_batch(shape, batch.sequences, batch.tokens)
    call = (lambda: model(ids, mask.bool())) if plan.implementation == "ours" else lambda: model(ids, mask)
    with torch.no_grad():
        call()
        return sum(parameter.nbytes for parameter in model.parameters()) + recorded_peak(call)


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of an optimizer's state."""
    values = (value for state in optimizer.state.values() for value in state.values())
    return sum(value.nbytes for value in values if isinstance(value, Tensor))


def _padded_batch(shape: Shape, sequences: int, tokens: int) -> tuple[Tensor, Tensor]:
    ids = torch.randint(0, shape.vocab, (sequences, tokens), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, -1:] = 0
    return ids, mask


def make_optimizer(model: nn.Module, optimizer: str, fused: bool) -> torch.optim.Optimizer:
    """The optimizer of this name as this project or torch makes it when asked for nothing else; `fused`: AdamW is."""
    parameters = list(model.parameters())
    if optimizer == "muon":
        return fresh_optimizer("muon", model, 1e-4)
    if optimizer == "adamw":
        return adamw([(model, 1e-4)]) if fused else torch.optim.AdamW(parameters)
    if optimizer == "adafactor":
        return torch.optim.Adafactor(parameters)
    return torch.optim.SGD(parameters, momentum=0.9 if optimizer == "sgd-momentum" else 0.0)


def bench_memory(repeats: int = 1) -> dict[str, Any]:
    """Every case in both precisions, measured and computed; a plain dict, JSON-ready. It does not vary with `repeats`.

    Raises:
        ConfigError: too many or too few repeats.
    """
    check_repeats(repeats)
    rows = []
    for name, shape, implementation, (sequences, tokens) in CASES:
        for precision in ("float32", "bfloat16"):
            batch, plan = TrainingBatch(sequences, tokens, precision), StepPlan(implementation, device="cpu")
            memory = step_memory(shape, batch, plan)
            row = {"model": name, "implementation": implementation, "sequences": sequences, "tokens": tokens}
            row |= {"precision": precision, "when": memory.when, "computed": memory.peak}
            row["measured"] = measured_step(shape, batch, plan)
            run = (plan, precision)
            row["run_computed"], row["run_measured"] = sum(inference_memory(shape, batch, *run)), 0
            row["run_measured"] = measured_inference(shape, batch, *run)
            rows.append(row)
    return {"rows": rows, "torch": torch.__version__}


def as_markdown(found: dict[str, Any]) -> str:
    """What `bench_memory` found, as a table."""
    lines = [
        "| model | batch | precision | peak of a step, measured | computed | off | forward pass | computed | off |"
    ]
    lines.append("|" + "---|" * 9)
    for row in found["rows"]:
        cells = [f"{row['model']}, {row['implementation']}", f"{row['sequences']} x {row['tokens']}", row["precision"]]
        for measured, computed in (("measured", "computed"), ("run_measured", "run_computed")):
            cells += [format_number(row[name], "B") for name in (measured, computed)]
            cells.append(f"{row[computed] / row[measured] - 1:+.1%}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, f"torch {found['torch']}, its CPU allocator's own record"])
