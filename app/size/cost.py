"""What the models cost to run. Computed; only 'this machine' is measured. Never a predicted accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from app.elements.bars import part_label
from app.elements.tables import html_table
from app.elements.text import escape_markdown
from app.session import caches
from app.session.browser import current_theme
from app.size.answers import SizedModel
from app.size.comparison_state import show_choice, show_number
from app.size.training_cost import show_training_cost
from engine.settings.amounts import format_duration, format_number
from engine.sizing.comparison import Comparison
from engine.sizing.footprint import (
    PRECISIONS,
    TRAINING_PRECISIONS,
    TrainingBatch,
    flops,
    flops_by_part,
    layer_flops,
)
from engine.sizing.memory.step import StepPlan, inference_memory
from engine.sizing.roofline import ACCELERATORS, DEVICE_LABELS, Accelerator, roofline_bound


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
    show_training_cost(comparison, tokens, fitting)


def _cost_controls(comparison: Comparison) -> int:
    """The controls; how many tokens a sequence has."""
    number_field, choice_field = partial(show_number, comparison), partial(show_choice, comparison)
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
    layers = [layer_flops(model.shape, tokens) for model in models]
    rows = [
        ["FLOPs a token", *(format_number(flops(model.shape, tokens) / tokens, "FLOP") for model in models)],
        [f"FLOPs a sequence of {tokens:,}", *(format_number(flops(model.shape, tokens), "FLOP") for model in models)],
    ]
    work = [flops_by_part(model.shape, tokens) for model in models]
    for part in work[0]:
        if any(each[part] for each in work):
            label = "attention scores (tokens squared)" if part == "attention scores" else part_label(part)
            rows.append([f"… {label}", *(f"{each[part] / sum(each.values()):.1%}" for each in work)])
    rows.append(
        [
            "FLOPs of the first layer" if any(model.shape.uneven for model in models) else "FLOPs a layer",
            *(format_number(sum(layer.values()), "FLOP") for layer in layers),
        ]
    )
    rows += _running_memory(comparison, tokens, models)
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
        "reaches it. Memory: the weights, and the most that a forward pass of this app's model holds beside them."
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


def _running_memory(comparison: Comparison, tokens: int, models: Sequence[SizedModel]) -> list[list[str]]:
    """A row for one sequence and one for a batch: weights, and what a forward pass holds beside them."""
    rows = []
    for sequences in sorted({1, comparison.sequences}):
        cells = []
        for model in models:
            batch = TrainingBatch(sequences, tokens)
            weights, beside = inference_memory(model.shape, batch, StepPlan("ours"), comparison.run_precision)
            cells.append(f"{format_number(weights, 'B')} + {format_number(beside, 'B')}")
        rows.append([f"memory, {sequences:,} sequence{'s' * (sequences > 1)}", *cells])
    return rows


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
