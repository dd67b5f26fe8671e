"""What a model costs to run and to train, as the verb size answers it: its flags, their checks, its numbers."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from engine.sizing.shape import Shape

_CHOICES = {"yes": True, "no": False}  # of --dropout


def add_cost_arguments(group: argparse._ArgumentGroup) -> None:
    """Adds the options of --cost that say how a model is trained."""
    from engine.sizing.memory.operations import ATTENTIONS, IMPLEMENTATIONS
    from engine.sizing.memory.state import OPTIMIZER_LABELS

    def choose(names: Any) -> str:
        *first, last = names
        return f"{', '.join(first)} or {last}"

    group.add_argument("--optimizer", default="adamw", help=f"{choose(OPTIMIZER_LABELS)} (default: adamw)")
    group.add_argument("--checkpointing", action="store_true", help="keep layers' inputs only, compute the rest again")
    group.add_argument("--micro-batches", type=int, default=1, help="parts of a step's batch, one after the other")
    group.add_argument("--zero", type=int, default=0, help="stage of ZeRO over --devices: 0, 1, 2 or 3 (FSDP)")
    group.add_argument("--devices", type=int, default=1, help="devices, each with a batch of its own (default: 1)")
    group.add_argument("--implementation", help=f"whose model is trained: {choose(IMPLEMENTATIONS)} (default: both)")
    group.add_argument("--attention", help=f"of transformers' model: {choose(ATTENTIONS)} (default: both)")
    group.add_argument("--dropout", help="of transformers' model: yes or no (default: as its config class has it)")


def check_cost_choices(arguments: argparse.Namespace) -> None:
    """Refuses what is no choice, whether or not the answer needs it.

    Raises:
        ValueError: which flag, what there is, what came.
    """
    from engine.sizing.memory.operations import ATTENTIONS, IMPLEMENTATIONS
    from engine.sizing.memory.state import OPTIMIZER_LABELS, ZERO_STAGES

    known: dict[str, Any] = {"optimizer": OPTIMIZER_LABELS, "implementation": IMPLEMENTATIONS}
    for name, choices in (known | {"attention": ATTENTIONS, "dropout": _CHOICES, "zero": ZERO_STAGES}).items():
        value = getattr(arguments, name)
        if value is not None and value not in choices:
            raise ValueError(f"--{name} must be one of {', '.join(map(str, choices))}, got {str(value)[:60]!r}.")
    for name, most in (("micro_batches", arguments.batch), ("devices", 10**6)):
        if not 1 <= getattr(arguments, name) <= max(1, most):
            flag = name.replace("_", "-")
            raise ValueError(f"--{flag} must be between 1 and {max(1, most):,}, got {getattr(arguments, name):,}.")
    if arguments.zero and arguments.devices == 1:
        raise ValueError(f"--zero {arguments.zero} needs --devices 2 or more: it cuts up what they hold.")


def find_cost(shape: Shape, tokens: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """FLOPs, memory and the latency bound, as plain values.

    Raises:
        ValueError: the batch makes no sense.
    """
    from engine.sizing.footprint import flops, flops_by_part, layer_flops
    from engine.sizing.roofline import find_accelerator, roofline_bound

    found: dict[str, Any] = {
        "tokens": tokens,
        "flops": flops(shape, tokens),
        "flops_a_token": flops(shape, tokens) / tokens,
        "flops_by_part": flops_by_part(shape, tokens),
        "flops_a_layer": [layer_flops(shape, tokens, layer) for layer in range(shape.layers if shape.uneven else 1)],
        "training": _training(shape, tokens, arguments),
        "inference": _inference(shape, tokens, arguments),
    }
    if arguments.device:
        device = find_accelerator(arguments.device)
        least = roofline_bound(shape, device, tokens, 1, arguments.precision)
        found["latency_bound"] = {
            "device": device.label,
            "source": device.source,
            "precision": arguments.precision,
            "seconds": least.seconds,
            "limit": least.limit,
        }
    return found


def _training(shape: Shape, tokens: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """What a step computes, what our own model keeps, and what every implementation holds at its peak."""
    from engine.sizing.footprint import (
        TRAINING_PRECISIONS,
        TrainingBatch,
        recomputed_flops,
        training_flops,
        training_memory,
    )
    from engine.sizing.memory.operations import IMPLEMENTATIONS
    from engine.sizing.memory.state import SHARDED
    from engine.sizing.memory.step import StepPlan, library_objection, step_memory, step_variants

    precision = arguments.precision if arguments.precision in TRAINING_PRECISIONS else "bfloat16"
    batch = TrainingBatch(arguments.batch, tokens, precision)
    memory = training_memory(shape, batch)
    plan = StepPlan(
        optimizer=arguments.optimizer,
        checkpointing=arguments.checkpointing,
        micro_batches=arguments.micro_batches,
        zero=arguments.zero,
        devices=arguments.devices,
        dropout=_CHOICES.get(arguments.dropout or ""),
    )
    wanted = [arguments.implementation] if arguments.implementation else IMPLEMENTATIONS
    rows = []
    for variant, at_peak in step_variants(shape, batch, plan, wanted):
        if variant.implementation == "transformers" and arguments.attention not in (None, variant.attention):
            continue
        row: dict[str, Any] = {"implementation": variant.implementation, "device": variant.device}
        row |= {"attention": variant.attention} if variant.implementation == "transformers" else {}
        row |= vars(at_peak) | {"when": at_peak.moment_words, "peak": at_peak.peak}
        if variant.implementation == "transformers":
            held = dataclasses.replace(variant, keeps_logits=True)
            row["peak_while_output_is_held"] = step_memory(shape, batch, held).peak
        rows.append(row)
    return {
        "sequences": batch.sequences,
        "precision": precision,
        "bytes": vars(memory) | {"total": memory.total},
        "flops_a_step": training_flops(shape, batch) + (recomputed_flops(shape, batch) if plan.checkpointing else 0),
        "optimizer": arguments.optimizer,
        "checkpointing": arguments.checkpointing,
        "micro_batches": arguments.micro_batches,
        "zero": arguments.zero,
        "devices": arguments.devices,
        "sharded": SHARDED[arguments.zero],
        "peaks": rows,
        "no_transformers_class": library_objection(shape),
    }


def _inference(shape: Shape, tokens: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """What a forward pass holds without training, for one sequence and for a batch of them."""
    from engine.sizing.footprint import TrainingBatch
    from engine.sizing.memory.operations import ATTENTIONS
    from engine.sizing.memory.step import StepPlan, inference_memory, library_objection

    models = [("ours", "sdpa")]
    if not library_objection(shape):
        models += [("transformers", attention) for attention in ATTENTIONS]
    rows: list[dict[str, Any]] = []
    for implementation, attention in models:
        for sequences in sorted({1, arguments.batch}):
            batch, plan = TrainingBatch(sequences, tokens), StepPlan(implementation, attention)
            weights, beside = inference_memory(shape, batch, plan, arguments.precision)
            row = {"implementation": implementation, "attention": attention, "precision": arguments.precision}
            rows.append(row | {"sequences": sequences, "weights": weights, "beside": beside})
    return rows
