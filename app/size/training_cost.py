"""What training costs: memory at the fullest moment of a step, FLOPs, time, and what a method adds. Computed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from app.elements.bars import Bar, stacked_bars
from app.elements.progress import ask_torch
from app.elements.tables import html_table
from app.elements.text import escape_markdown
from app.session import caches
from app.session.browser import current_theme
from app.size.answers import SizedModel
from app.size.comparison_state import show_choice, show_number
from engine.settings.amounts import format_duration, format_number
from engine.sizing.comparison import TRAINED_MODELS, Comparison
from engine.sizing.cost import parameters
from engine.sizing.footprint import (
    TrainingBatch,
    flops,
    predicted_tokens,
    recomputed_flops,
    stored_bytes,
    training_flops,
)
from engine.sizing.memory.state import OPTIMIZER_LABELS, SHARDED
from engine.sizing.memory.step import StepMemory, StepPlan, library_objection, step_memory
from engine.sizing.roofline import training_seconds
from engine.sizing.wid_cost import heir_costs, wid_objections

TRAINED_LABELS = {
    "transformers-sdpa": "transformers' model, SDPA",
    "transformers-eager": "transformers' model, eager",
    "ours": "this app's model",
}
DEVICE_WORDS = {"gpu": "GPU", "cpu": "CPU"}
MEMORY_PARTS = {  # of StepMemory -> as they are shown
    "weights": "weights",
    "optimizer": "optimizer",
    "gradients": "gradients",
    "activations": "activations",
    "copies": "bf16 copies",
    "moment": "moment only",
}
SHORT = {"moment only": "moment", "bf16 copies": "copies"}  # where a bar has little room


def show_training_cost(comparison: Comparison, tokens: int, models: Sequence[SizedModel]) -> None:
    """The choices, a bar and a column a model, and what a method adds."""
    st.markdown("##### To train")
    _training_controls(comparison)
    batch, colours = TrainingBatch(comparison.sequences, tokens, comparison.precision), current_theme()
    steps = [_memory(comparison, model, batch, comparison.trained_model) for model in models]
    several = comparison.devices > 1
    title = "Memory on each device at the fullest moment" if several else "Memory at the fullest moment of a step"
    bars = [Bar(model.name, model.colour, _parts(step)) for model, step in zip(models, steps, strict=True)]
    st.html(stacked_bars(bars, colours, "bytes", title, lambda size: format_number(size, "B")))
    rows = [
        [label, *(format_number(getattr(step, name), "B") for step in steps)]
        for name, label in MEMORY_PARTS.items()
        if name != "copies" or any(step.copies for step in steps)
    ]
    total = len(rows)
    rows.append(["peak, on each device" if several else "peak", *(format_number(step.peak, "B") for step in steps)])
    rows.append(["… during", *(step.moment_words for step in steps)])
    for other in TRAINED_MODELS:
        if other != comparison.trained_model:
            cells = [
                format_number(_memory(comparison, model, batch, other).peak, "B")
                if other == "ours" or not library_objection(model.shape)
                else "–"
                for model in models
            ]
            rows.append([f"peak, {TRAINED_LABELS[other]}", *cells])
    again = recomputed_flops if comparison.checkpointing == "yes" else lambda shape, batch: 0
    work = [training_flops(model.shape, batch) + again(model.shape, batch) for model in models]
    rows.append(["FLOPs a step", *(format_number(each, "FLOP") for each in work)])
    rate = caches.machine_rates().get("step")
    if rate:
        times = (training_seconds(model.shape, batch, comparison.steps, rate) for model in models)
        rows.append([f"{comparison.steps:,} steps here, about", *map(format_duration, times)])
    st.html(html_table(["", *(model.name for model in models)], rows, colours, bold=[total]))
    if comparison.trained_model != "ours":
        for model in models:
            if reason := library_objection(model.shape):
                st.caption(f"{escape_markdown(model.name)} is this app's model here: {escape_markdown(reason)}.")
    _measure_machine()
    with st.expander("How memory is counted"):
        st.markdown(COUNTED)
    if len(models) > 1:
        _method_overhead(batch, models[0], models[1:])


COUNTED = (
    "The **peak** is the most bytes that are alive at one moment of a step, in a run that goes on: the optimizer has "
    "its state, gradients are dropped after each step. Every tensor of the forward and the backward pass is followed "
    "from its first use to its last.\n\n"
    "- **activations**: what the forward pass keeps for the backward pass. transformers' model computes logits at all "
    "tokens and has dropout; this app's computes them at the 15% that are predicted.\n"
    "- **moment only**: gradients of activations, logits and their softmax, what an optimizer makes during its "
    "own step.\n"
    "- **gradients** are few at a peak that lies early in the backward pass.\n"
    "- With ZeRO each device holds its part, and stage 3 puts a layer together for a moment.\n\n"
    "On a CPU these figures are held to what torch's allocator records. A GPU follows torch's rules: fused attention, "
    "float32 where its autocast asks for it. Not counted: the process and its libraries, workspaces of products, and "
    "memory that an allocator holds back. A program that still holds transformers' output while it goes backward "
    "needs its logits on top."
)


def _training_controls(comparison: Comparison) -> None:
    """Whose model, where, and what saves memory."""
    number_field, choice_field = partial(show_number, comparison), partial(show_choice, comparison)
    columns = st.columns(3)
    with columns[0]:
        choice_field(
            "Model", "trained_model", TRAINED_MODELS, "Whose code runs: they keep different things.", TRAINED_LABELS.get
        )
        choice_field("Trained on", "memory_device", list(DEVICE_WORDS), "A CPU fuses less.", DEVICE_WORDS.get)
    with columns[1]:
        help = "What it keeps for every weight."
        choice_field("Optimizer", "optimizer", list(OPTIMIZER_LABELS), help, OPTIMIZER_LABELS.get)
        help = "Keeps the layers' inputs only, and computes each layer again in the backward pass."
        choice_field("Gradient checkpointing", "checkpointing", ("no", "yes"), help)
    with columns[2]:
        help = "A step's sequences in so many parts, one after the other; gradients add up."
        number_field("Micro-batches", "micro_batches", 1, help)
        number_field("Devices", "devices", 1, "Each reads a batch of its own.", most=10**6)
    if comparison.devices > 1:
        help = "What the devices share instead of each holding a copy. FSDP is stage 3."
        choice_field("ZeRO", "zero", list(SHARDED), help, lambda stage: f"stage {stage}: {SHARDED[stage]} cut up")


def _memory(comparison: Comparison, model: SizedModel, batch: TrainingBatch, trained: str) -> StepMemory:
    """The peak of a step of `model`; ours, where transformers has no class for it."""
    implementation, _, attention = trained.partition("-")
    if library_objection(model.shape):
        implementation, attention = "ours", ""
    several = comparison.devices > 1
    plan = StepPlan(
        implementation,
        attention or "sdpa",
        comparison.memory_device,
        comparison.optimizer,
        comparison.checkpointing == "yes",
        min(comparison.micro_batches, batch.sequences),
        comparison.zero if several else 0,
        comparison.devices,
    )
    return step_memory(model.shape, batch, plan)


def _parts(step: StepMemory) -> dict[str, int]:
    return {SHORT.get(label, label): getattr(step, name) for name, label in MEMORY_PARTS.items()}


def _method_overhead(batch: TrainingBatch, teacher: SizedModel, students: Sequence[SizedModel]) -> None:
    """What inheriting or imitating `teacher` costs on top."""
    st.markdown("##### What a method adds")
    teacher_work = batch.sequences * flops(teacher.shape, batch.tokens, predicted_tokens(batch.tokens))
    weights = stored_bytes(teacher.shape, "float32")
    rows, refusals = [], []
    for student in students:
        student_work = training_flops(student.shape, batch)
        rows.append(
            [
                f"{student.name}: distillation",
                f"+ {format_number(weights, 'B')}",
                f"+ {teacher_work / student_work:,.0%}",
                "–",
            ]
        )
        reasons = wid_objections(teacher.shape, student.shape)
        if reasons:
            name, explanation = escape_markdown(student.name), escape_markdown(" ".join(reasons))
            refusals.append(f"{name} cannot inherit from this teacher by WID: {explanation}")
            continue
        for when, moment in zip(
            ("at the start", "shrunk"), heir_costs(teacher.shape, student.shape, batch), strict=True
        ):
            extra = 16 * (moment.parameters - parameters(student.shape))
            memory = f"{'+' if extra >= 0 else '−'} {format_number(abs(extra), 'B')}"
            work = f"+ {6 * moment.multiply_adds / student_work - 1:,.0%}"
            rows.append([f"{student.name}: WID, {when}", memory, work, f"{moment.compactors:,}"])
    head = ["", "memory", "FLOPs a step", "compactor parameters"]
    st.html(html_table(head, rows, current_theme()))
    st.caption(
        "On top of training the student alone. Distillation: the teacher's weights and its forward pass on each batch. "
        "WID: the teacher's weights learn, and so do the compactors beside them, each parameter with a gradient and "
        "two moments. The products of weights and compactors are formed once a step. Shrunk: after all has closed."
    )
    for refusal in refusals:
        st.caption(refusal)


def _measure_machine() -> None:
    """A button that measures this machine, and what was measured."""
    rates = caches.machine_rates()
    if st.button("Measure again" if rates else "Measure this machine", icon=":material/speed:"):
        try:
            found = ask_torch("engine.benches.machine_rate", {})
            rates.clear()
            rates.update(found)
        except ValueError as error:
            st.error(escape_markdown(str(error)))
            return
        st.rerun()
    if rates:
        st.caption(
            f"{escape_markdown(rates['device'])}, measured: {format_number(rates['float32'], 'FLOP/s')} in float32, "
            f"{format_number(rates['bfloat16'], 'FLOP/s')} in bfloat16, {format_number(rates['bandwidth'], 'B/s')} of "
            f"memory; a training step of {escape_markdown(rates['step_model'])} in {rates['step_precision']} runs at "
            f"{format_number(rates['step'], 'FLOP/s')}. Times of training assume that rate, whatever the model: an "
            "estimate."
        )
    else:
        st.caption(
            "A few seconds: matrix products, memory, a training step. The table then says how long training takes."
        )
