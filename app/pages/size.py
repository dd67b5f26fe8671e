"""Size: how many parameters would it have, and where are they?

Needs no torch, and no chart or table library before somebody opens the long table: the answer is there at once.
"""

import dataclasses

import streamlit as st

from app import state
from app.bars import part_bars
from app.theme import theme
from app.tiles import tile_row
from engine.cost import by_part, compression, ledger, multiply_adds, parameters, weight_bytes
from engine.shape import Shape, ShapeError

TEACHERS = {
    "BERT base": Shape(),
    "BERT large": Shape(layers=24, hidden=1024, heads=16),
    "BERT medium": Shape(layers=8, hidden=512, heads=8),
    "BERT small": Shape(layers=4, hidden=512, heads=8),
    "BERT mini": Shape(layers=4, hidden=256, heads=4),
    "BERT tiny": Shape(layers=2, hidden=128, heads=2),
    "MiniLM-L6": Shape(layers=6, hidden=384, heads=12),
    "Microworld": Shape(layers=4, hidden=128, heads=4, vocab=211, positions=64),
}

st.title("How big would it be?")
st.caption(
    "Pick a teacher, then shrink it. Every number is computed exactly from the shape, tied weights counted once; "
    "nothing is estimated."
)

left, right = st.columns([2, 5], gap="large")
with left:
    name = st.selectbox("Teacher", list(TEACHERS), key="teacher", bind="query-params", help="A well-known encoder.")
    teacher = TEACHERS[name]
    st.subheader("Student")
    layers = st.slider("Layers", 1, teacher.layers, teacher.layers, key=f"layers_{teacher.layers}")
    hidden = st.slider(
        "Width",
        teacher.heads,
        teacher.hidden,
        teacher.hidden // 2,
        key=f"width_{teacher.hidden}",
        help="The hidden size: how many numbers stand for one token between layers.",
    )
    heads = st.slider("Heads", 1, teacher.heads, teacher.heads, key=f"heads_{teacher.heads}")
    ffn_ratio = st.slider("FFN width, as a multiple of the width", 1.0, 4.0, 4.0, 0.25, key="ffn")
    head = st.toggle(
        "Count the masked-LM head",
        True,
        key="head",
        help="What fills in hidden words; its decoder is tied to the embedding table and counted once.",
    )
    teacher = teacher.replace(mlm_head=head)

with right:
    try:
        student = teacher.replace(layers=layers, hidden=hidden, heads=heads, ffn=round(hidden * ffn_ratio))
    except ShapeError as error:
        st.error(str(error), icon=":material/rule:")
        st.stop()
    count, full = parameters(student), parameters(teacher)
    tokens = min(128, student.positions)
    work = multiply_adds(student, tokens) / multiply_adds(teacher, tokens)
    memory = [f"{weight_bytes(shape) / 1e6:,.1f} MB in float32" for shape in (student, teacher)]
    tile_row(
        (
            ("Student's parameters", f"{count:,}", memory[0]),
            ("Teacher's parameters", f"{full:,}", memory[1]),
            ("Compression", f"{compression(teacher, student):.2f}×", "fewer parameters"),
            (f"Work for {tokens} tokens", f"{work:.1%}", "of the multiply-adds"),
        )
    )

    parts = {f"Teacher, {name}": by_part(teacher), "Student": by_part(student)}
    st.html(part_bars(parts, theme(state.dark())))
    before, after = parts.values()
    rows = [(part, before[part], after[part]) for part in before if before[part] or after[part]]
    cells = [(part, f"{had:,}", f"{has:,}", f"{has / had:.1%}") for part, had, has in rows]
    cells.append(("**total**", f"**{full:,}**", f"**{count:,}**", f"**{count / full:.1%}**"))
    lines = [" | ".join(f":small[{cell}]" for cell in line) for line in cells]  # small, or a phone cuts the last column
    st.markdown("\n".join(["part | teacher | student | kept", "---|--:|--:|--:", *lines]))
    tensors = st.expander("Every tensor of the student", key="tensors", on_change="rerun")
    if tensors.open:
        entries = [dataclasses.asdict(entry) | {"parameters": entry.parameters} for entry in ledger(student)]
        names = {"count": "in one", "executed": "used"}
        tensors.dataframe(
            [{names.get(name, name): value for name, value in entry.items()} for entry in entries],
            hide_index=True,
            column_config={c: st.column_config.NumberColumn(format="localized") for c in ("in one", "parameters")},
        )
        tensors.caption("stored: how many such tensors there are. used: how often a forward pass runs them.")
