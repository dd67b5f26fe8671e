"""What the models cost to run and to train. Computed; only 'this machine' is measured. Never a predicted accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.elements.bars import Bar, part_label, stacked_bars
from app.elements.progress import ask_torch
from app.elements.tables import html_table
from app.elements.text import escape_markdown
from app.session import caches
from app.session.browser import current_theme
from app.size.answers import SizedModel
from app.size.comparison_state import change_comparison, controlled, controlled_choice
from engine.settings.amounts import format_duration, format_number
from engine.sizing.comparison import Comparison
from engine.sizing.cost import parameters
from engine.sizing.footprint import (
    PRECISIONS,
    TRAINING_PRECISIONS,
    TrainingBatch,
    TrainingMemory,
    flops,
    flops_by_part,
    predicted_tokens,
    stored_bytes,
    training_flops,
    training_memory,
)
from engine.sizing.roofline import ACCELERATORS, DEVICE_LABELS, Accelerator, roofline_bound, training_seconds
from engine.sizing.wid_cost import heir_costs, wid_objections

LARGEST = 10**12


def show_cost(comparison: Comparison, models: Sequence[SizedModel]) -> None:
    """Running, then training, then this machine."""
    tokens = _cost_controls(comparison)
    fitting = [model for model in models if tokens <= model.shape.positions]
    for model in models:
        if model not in fitting:
            st.warning(
                f"**{escape_markdown(model.name)}** has {model.shape.positions:,} positions, so it cannot read "
                f"{tokens:,} tokens."
            )
    if not fitting:
        return
    _running_cost(comparison, tokens, fitting)
    _training_cost(comparison, tokens, fitting)


def _cost_controls(comparison: Comparison) -> int:
    """The controls; how many tokens a sequence has."""

    def number_field(label: str, name: str, step: int, help: str) -> None:
        value = controlled(
            f"size_{name}", getattr(comparison, name), lambda value: change_comparison(**{name: int(value)})
        )
        st.number_input(label, 1, LARGEST, step=step, help=help, **value)

    def choice_field(label: str, name: str, options: Sequence[str], help: str, format_func: Any = str) -> None:
        value = getattr(comparison, name)
        choice = controlled_choice(f"size_{name}", options, value, lambda value: change_comparison(**{name: value}))
        st.selectbox(label, help=help, format_func=format_func, **choice)

    columns = st.columns(3)
    with columns[0]:
        number_field("Tokens of a sequence", "tokens", 64, "Attention's cost grows with the square of it.")
        choice_field(
            "Device", "device", list(DEVICE_LABELS), "For the least time a sequence can take.", DEVICE_LABELS.get
        )
    with columns[1]:
        number_field("Sequences a training step", "sequences", 8, "The batch.")
        choice_field("Weights while running", "run_precision", list(PRECISIONS), "int8 and int4: unpacked to bfloat16.")
    with columns[2]:
        number_field("Training steps", "steps", 10_000, "For the time that training takes on this machine.")
        choice_field("Products while training", "precision", TRAINING_PRECISIONS, "bfloat16: torch's autocast.")
    return comparison.tokens


def _running_cost(comparison: Comparison, tokens: int, models: Sequence[SizedModel]) -> None:
    st.markdown("##### To run")
    rows = [
        ["FLOPs a token", *(format_number(flops(model.shape, tokens) / tokens, "FLOP") for model in models)],
        [f"FLOPs a sequence of {tokens:,}", *(format_number(flops(model.shape, tokens), "FLOP") for model in models)],
    ]
    work = [flops_by_part(model.shape, tokens) for model in models]
    for part in work[0]:
        if any(each[part] for each in work):
            label = "attention scores (tokens squared)" if part == "attention scores" else part_label(part)
            rows.append([f"… {label}", *(f"{each[part] / sum(each.values()):.1%}" for each in work)])
    device = roofline_card(comparison.device)
    if device:
        bounds = [roofline_bound(model.shape, device, tokens, 1, comparison.run_precision) for model in models]
        rows.append(["at least, a sequence", *(format_duration(limit.seconds) for limit in bounds)])
        rows.append(["… which waits for", *(limit.limit for limit in bounds)])
    elif comparison.device == "here":
        st.info("This machine has not been measured yet: press Measure below.", icon=":material/speed:")
    st.html(html_table(["", *(model.name for model in models)], rows, current_theme()))
    st.caption(
        "FLOPs: two a multiply-add of every matrix product, the masked-LM head on every token. The time is a roofline "
        "bound: all products at the peak rate, or every needed weight read once, whichever is longer. No program "
        "reaches it."
    )
    with st.expander("Cards and their sources", key="size_cards", on_change="rerun") as cards:
        if cards.open:
            lines = [
                [
                    card.label,
                    format_number(card.float32, "FLOP/s"),
                    format_number(card.bfloat16, "FLOP/s"),
                    format_number(card.bandwidth, "B/s"),
                    card.source,
                ]
                for card in ACCELERATORS.values()
            ]
            head = ["", "float32", "bfloat16, dense", "memory", "source"]
            st.html(html_table(head, lines, current_theme()))


def _training_cost(comparison: Comparison, tokens: int, models: Sequence[SizedModel]) -> None:
    st.markdown("##### To train")
    batch = TrainingBatch(comparison.sequences, tokens, comparison.precision)
    teacher, colours = models[0], current_theme()
    columns = [
        (model.name, training_memory(model.shape, batch), training_flops(model.shape, batch)) for model in models
    ]
    bars = [
        Bar(name, model.colour, _memory_parts(memory)) for model, (name, memory, _) in zip(models, columns, strict=True)
    ]
    st.html(stacked_bars(bars, colours, "bytes", "Memory while training", lambda size: format_number(size, "B")))
    rows = [
        [part, *(format_number(_memory_parts(memory).get(part, 0), "B") for _, memory, _ in columns)]
        for part in _memory_parts(columns[0][1])
    ]
    rows.append(["total", *(format_number(memory.total, "B") for _, memory, _ in columns)])
    rows.append(["FLOPs a step", *(format_number(work, "FLOP") for _, _, work in columns)])
    rate = caches.machine_rates().get("step")
    if rate:
        times = (training_seconds(model.shape, batch, comparison.steps, rate) for model in models)
        rows.append([f"{comparison.steps:,} steps here, about", *map(format_duration, times)])
    st.html(
        html_table(["", *(model.name for model in models)], rows, colours, bold=[len(_memory_parts(columns[0][1]))])
    )
    _measure_machine()
    with st.expander("How memory is counted"):
        st.markdown(
            "AdamW on float32 weights: 4 bytes a parameter for the weight, 4 for its gradient, 8 for two moments. "
            "Activations are every tensor that this project's own forward pass keeps for its backward pass, once each: "
            "masked-LM loss on 15% of the tokens, a padding mask, fused attention (scores are never kept). What lives "
            "for a moment only are not counted, so a process needs more than this. bfloat16: torch's autocast, "
            "which adds bfloat16 copies of the matrices."
        )
    if len(models) > 1:
        _method_overhead(batch, teacher, models[1:])


def _memory_parts(memory: TrainingMemory) -> dict[str, int]:
    found = {"weights": memory.weights, "gradients": memory.gradients, "Adam's moments": memory.moments}
    found["activations"] = memory.activations
    return found | ({"bfloat16 copies": memory.copies} if memory.copies else {})


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


def roofline_card(name: str) -> Accelerator | None:
    """The rates of the device called `name`; None: there is none, or this machine has not been measured yet."""
    if name == "here":
        rates = caches.machine_rates()
        if not rates:
            return None
        return Accelerator(
            "here", "this machine", rates["float32"], rates["bfloat16"], rates["bandwidth"], "measured here"
        )
    return ACCELERATORS.get(name)


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
