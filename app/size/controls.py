"""The controls of the size page: which configuration, what it starts from, and everything that counts."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from app.elements.text import escape_markdown
from app.size.comparison_state import (
    change_callback,
    change_chosen,
    change_comparison,
    change_field,
    chosen_configuration,
    controlled,
    controlled_choice,
    duplicate_chosen,
    remove_chosen,
)
from engine.sizing.comparison import MAX_CONFIGURATIONS, MAX_NAME_LENGTH, Comparison, clean_name, editable_fields
from engine.sizing.presets import PRESETS
from engine.sizing.shape import SHARINGS, ShapeError
from engine.sizing.wid_cost import STRATEGIES, wid_student

LARGEST_TYPED = 10**15  # beyond what a browser counts exactly; the shape refuses far smaller numbers in words
SHARING_LABELS = {"none": "Nothing", "attention": "Attention", "ffn": "FFN", "all": "All"}


def show_controls(comparison: Comparison) -> None:
    """Draws all controls. Each shows what the comparison says, and changes it through a callback."""
    _model_controls(comparison)
    fields = comparison.configurations[comparison.chosen].fields
    _slider_with_field(
        "Layers", "layers", fields, 1, _slider_end(fields["layers"], 24), 1, "Blocks of attention and FFN."
    )
    step = fields["heads"] if fields["head_dim"] is None and 1 <= fields["heads"] <= 256 else 1
    about_width = "The hidden size: how many numbers stand for one token between layers."
    _slider_with_field(
        "Width", "hidden", fields, step, _slider_end(fields["hidden"], 1024) // step * step, step, about_width
    )
    _slider_with_field(
        "Heads",
        "heads",
        fields,
        1,
        _slider_end(fields["heads"], 16),
        1,
        "Attention heads; the width is cut among them.",
    )
    _ffn_slider(fields)
    with st.expander("Everything else", icon=":material/tune:"):
        _other_fields(fields)
    if comparison.chosen:
        with st.expander("Make it a WID student", icon=":material/compress:"):
            _wid_student_form(comparison)


def _model_controls(comparison: Comparison) -> None:
    models = comparison.configurations
    st.segmented_control(
        "Model to change",
        range(len(models)),
        required=True,
        format_func=lambda index: escape_markdown(models[index].name),
        wrap=True,
        **controlled("size_chosen", comparison.chosen, lambda index: change_comparison(chosen=index), "default"),
    )
    chosen = models[comparison.chosen]
    st.text_input(
        "Name",
        max_chars=MAX_NAME_LENGTH,
        **controlled("size_name", chosen.name, lambda text: change_chosen(name=clean_name(text, chosen.name))),
    )
    with st.container(horizontal=True):
        st.button(
            "Duplicate",
            icon=":material/content_copy:",
            on_click=duplicate_chosen,
            disabled=len(models) >= MAX_CONFIGURATIONS,
            width="stretch",
            help=f"Up to {MAX_CONFIGURATIONS} models stand side by side.",
        )
        st.button(
            "Remove", icon=":material/delete:", on_click=remove_chosen, disabled=len(models) == 1, width="stretch"
        )
    st.selectbox(
        "Start from",
        format_func=lambda name: PRESETS[name].label,
        **controlled_choice("size_preset", list(PRESETS), chosen.preset, _start_from),
    )
    if dict(chosen.fields) != editable_fields(PRESETS[chosen.preset].shape):
        st.button(
            f"Changed. Back to {PRESETS[chosen.preset].label}",
            icon=":material/undo:",
            type="tertiary",
            on_click=_start_from,
            args=(chosen.preset,),
        )


def _start_from(preset: str) -> None:
    chosen = chosen_configuration()
    old = PRESETS[chosen.preset].label
    name = PRESETS[preset].label if chosen.name == old else chosen.name
    change_chosen(preset=preset, fields=editable_fields(PRESETS[preset].shape), name=name)


def _slider_with_field(label: str, name: str, fields: Any, low: int, high: int, step: int, help: str) -> None:
    """A slider for the hand and a field for exact numbers, which show the same value."""
    value = fields[name]
    on_grid = low <= value <= high and (value - low) % step == 0
    if not on_grid:
        step, low = 1, 1
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shown = min(max(value, low), high)
        key = f"size_{name}_slider_{low}_{step}_{high}"
        st.slider(
            label,
            low,
            max(high, low + step),
            step=step,
            help=help,
            **controlled(key, shown, lambda number: change_field(name, number)),
        )
        _number_field(f"{label}, exact", name, fields, step, 105, "collapsed")


def _number_field(
    label: str, name: str, fields: Any, step: int = 1, width: Any = "stretch", visibility: Any = "visible", **more: Any
) -> None:
    value, optional = fields[name], name in ("head_dim", "ffn", "embedding")
    # Made anew for each value. The browser reports a new field's value with whatever changes next, and where that
    # interrupts the run that made the field, it counts as a change: it must not undo a quick press on the slider.
    key = f"size_{name}_{value}"

    def changed(number: int | None) -> None:
        if number != shown and (number is not None or optional):
            change_field(name, number)

    shown = None if value is None else max(-LARGEST_TYPED, min(value, LARGEST_TYPED))
    st.number_input(
        label,
        min_value=-LARGEST_TYPED,
        max_value=LARGEST_TYPED,
        value=shown,
        step=step,
        key=key,
        width=width,
        label_visibility=visibility,
        on_change=change_callback(key, shown, changed),
        **more,
    )


def _ffn_slider(fields: Any) -> None:
    hidden = max(1, fields["hidden"])
    ratio = 4.0 if fields["ffn"] is None else fields["ffn"] / hidden
    if ratio * 4 != round(ratio * 4) or not 0.25 <= ratio <= 8:
        st.caption(
            f"FFN: {fields['ffn']:,} wide, {ratio:,.2f} times the width. Change it below, under Everything else."
        )
        return
    st.slider(
        "FFN, as a multiple of the width",
        0.25,
        8.0,
        step=0.25,
        format="%g ×",
        **controlled(
            "size_ffn_ratio",
            ratio,
            lambda times: change_field("ffn", None if times == 4 else max(1, round(times * hidden))),
        ),
    )


def _other_fields(fields: Any) -> None:
    _number_field("Vocabulary", "vocab", fields, 1000, help="Words and word pieces, a row of the table each.")
    _number_field(
        "Embedding size E",
        "embedding",
        fields,
        16,
        placeholder="as wide as the model",
        help="Below the width it is factorised: a narrow table, then a projection (ALBERT). Empty: the width.",
    )
    _number_field(
        "Head size",
        "head_dim",
        fields,
        placeholder="width / heads",
        help="Set apart from the width, for students that have lost whole heads. Empty: width divided by heads.",
    )
    _number_field("FFN size", "ffn", fields, 64, placeholder="4 × width", help="Exact. Empty: four times the width.")
    left, right = st.columns(2)
    with left:
        _number_field("Positions", "positions", fields, 64)
    with right:
        _number_field("Token types", "token_types", fields)
    _structure_fields(fields)


def _structure_fields(fields: Any) -> None:
    """What is no number: which layers share, which family, which parts there are."""
    st.segmented_control(
        "Layers share",
        list(SHARINGS),
        required=True,
        format_func=lambda kind: SHARING_LABELS[kind],
        help="Shared weights are stored once and run in every layer (ALBERT).",
        **controlled("size_sharing", fields["sharing"], lambda kind: change_field("sharing", kind), "default"),
    )
    if fields["sharing"] != "none":
        _number_field(
            "Groups that share", "groups", fields, help="Layers are cut into this many groups; each shares within."
        )
    st.segmented_control(
        "Family",
        ["bert", "albert"],
        required=True,
        format_func=str.upper,
        help="ALBERT always has a projection behind its embeddings, even where it is square.",
        **controlled("size_family", fields["family"], lambda kind: change_field("family", kind), "default"),
    )
    for name, label, about in (
        ("pooler", "Pooler", "A square layer on [CLS], for sentence tasks."),
        ("mlm_head", "Masked-LM head", "Fills in hidden words."),
        ("pair_head", "Sentence-order head", "Two sentences in order or not; or next sentence. It needs the pooler."),
        ("tied", "Decoder tied to the embedding table", "Tied, the table is counted once."),
    ):
        st.toggle(
            label,
            help=about,
            disabled=name == "tied" and not fields["mlm_head"],
            **controlled(f"size_{name}", fields[name], partial(change_field, name)),
        )


def _wid_student_form(comparison: Comparison) -> None:
    try:
        teacher = comparison.configurations[0].shape
    except ShapeError:
        st.caption("The teacher's numbers do not fit together yet.")
        return
    strategy = st.segmented_control(
        "Strategy",
        list(STRATEGIES),
        default="dim",
        required=True,
        key="size_wid_strategy",
        format_func=lambda name: {"dim": "Narrow every head", "head": "Drop whole heads"}[name],
        help="dim and head, in the words of the paper.",
    )
    width = int(
        st.number_input(
            "Width", 1, LARGEST_TYPED, min(516, teacher.hidden), step=teacher.heads, key=f"size_wid_{teacher.hidden}"
        )
    )
    try:
        student = wid_student(teacher, width, str(strategy))
    except ShapeError as error:
        st.warning(escape_markdown(str(error)), icon=":material/rule:")
        return
    st.caption(f"{escape_markdown(str(student))}. Its decoder has a compactor of its own, so it is counted untied.")
    st.button(
        "Use this shape",
        type="primary",
        on_click=lambda: change_chosen(fields=editable_fields(student)),
        width="stretch",
    )


def _slider_end(value: int, usual: int) -> int:
    """Where a slider ends: far enough for the present value, but not for a slip of the keyboard."""
    return usual if value <= usual else min(2 * value, 8 * usual)
