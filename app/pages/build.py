"""Build: choose a teacher, a student and a method; start a run."""

import socket

import streamlit as st

from app import forms, state
from engine import job, teachers
from engine.config import RunConfig
from engine.cost import parameters
from engine.launch import cluster_command
from engine.library import inexpressible
from engine.methods import METHODS

st.title("Build a student")
st.caption("Choose who teaches, what the student looks like and how it learns. Then start, and watch it happen.")

left, right = st.columns([3, 2], gap="large")
with left:
    name = st.segmented_control(
        "Teacher",
        [name for name in teachers.TEACHERS if name != "blank"],
        default="microworld",
        required=True,
        format_func=lambda name: teachers.card(name).label,
        key="build_teacher",
        persist_state="session",
    )
    try:
        card = teachers.card(name)
    except teachers.TeacherError as error:
        st.error(str(error), icon=":material/school:")
        st.stop()
    accuracy = card.scores.get("masked_accuracy")
    st.caption(
        f"{card.about} {card.shape}; {parameters(card.shape):,} parameters; licence {card.licence}."
        + (f" Fills in {accuracy:.1%} of hidden words of held-out text." if accuracy else "")
    )

    st.subheader("Method")
    method = METHODS[
        st.segmented_control(
            "Method",
            list(METHODS),
            default="wid",
            required=True,
            format_func=lambda name: METHODS[name].label,
            label_visibility="collapsed",
            key="build_method",
            persist_state="session",
        )
    ]
    st.markdown(method.description())
    st.caption(method.paper)

    st.subheader("Student")
    shape = card.shape
    first, second, third = st.columns(3)
    layers = first.slider("Layers", 1, shape.layers, shape.layers, key=f"layers_{name}", persist_state="session")
    hidden = second.slider(
        "Width",
        shape.heads,
        shape.hidden,
        shape.hidden // 2,
        shape.heads,
        key=f"hidden_{name}",
        persist_state="session",
    )
    heads = third.slider("Heads", 1, shape.heads, shape.heads, key=f"heads_{name}", persist_state="session")
    st.subheader("Options")
    preset = forms.preset_choice(method.presets, method.preset_notes, f"preset_{method.name}") if method.presets else ""
    options = forms.options_form(method.Options, f"options_{method.name}_{preset}", method.presets.get(preset))
    with st.expander("Run settings"):
        device, columns = state.device(), st.columns(4)
        slow = name == "minilm"
        steps = columns[0].number_input(
            "Steps", 1, 1_000_000, 200 if slow else 500, key=f"steps_{name}", help="Optimizer steps."
        )
        batch = columns[1].number_input("Batch", 1, 4096, card.batch, key=f"batch_{name}", help="Sequences a step.")
        length = columns[2].number_input(
            "Length",
            8,
            min(512, shape.positions),
            card.length,
            key=f"length_{name}",
            help="Longest sequence, in tokens.",
        )
        seed = columns[3].number_input(
            "Seed", 0, 2**31 - 1, 0, key="seed", help="Fixes initial weights, data order and masks."
        )
        processes = columns[0].number_input(
            "Processes",
            1,
            device.count,
            1,
            key="processes",
            help=f"They share every batch; this machine is good for {device.count}, one a "
            + ("CPU core." if device.type == "cpu" else "GPU."),
        )
        accumulate = columns[1].number_input(
            "Micro-batches",
            1,
            4096,
            1,
            key="accumulate",
            help="Parts that each process takes one after the other: the same step in less memory.",
        )
        corpus = st.text_input(
            "Corpus",
            card.corpus,
            key=f"corpus_{name}",
            max_chars=200,
            help="microworld, or nltk:NAME for a text collection of NLTK on this machine.",
        )

with right, st.container(border=True):
    student = {"layers": layers, "hidden": hidden, "heads": heads}
    config = plan = None
    try:
        from engine.plan import plan as understand

        config = RunConfig(
            teacher=name,
            method=method.name,
            student=student,
            options=options,
            corpus=corpus.strip() or "auto",
            steps=int(steps),
            batch=int(batch),
            accumulate=int(accumulate),
            processes=int(processes),
            length=int(length),
            seed=int(seed),
        )
        plan = understand(config)
    except ValueError as error:
        st.error(str(error), icon=":material/rule:")
    if plan:
        count, full = parameters(plan.shape), parameters(shape)
        st.metric(
            "Student's parameters",
            f"{count:,}",
            f"{full / count:.2f}× smaller than the teacher's {full:,}",
            delta_color="off",
            delta_arrow="off",
        )
        st.caption(f"{plan.shape}.")
        for note in plan.method.notes(shape, plan.shape):
            st.caption(note)
        for reason in inexpressible(plan.shape):
            st.caption(f"It cannot be exported to transformers: {reason}.")
    st.markdown(
        f":material/memory: **{device.name}**" + (", bfloat16 products" if device.mixed_precision else ", float32")
    )
    run_name = f"{method.name}-{plan.shape.layers}x{plan.shape.hidden}" if plan else ""
    if st.button("Start", type="primary", icon=":material/play_arrow:", disabled=plan is None, width="stretch"):
        assert config is not None
        try:
            run = job.start(state.RUNS, config.to_json(), run_name)
        except ValueError as error:
            st.error(str(error), icon=":material/error:")
        else:
            st.switch_page("app/pages/watch.py", query_params={"run": run.id})
    st.caption("The run works in the background: you can close this page and come back.")
    with st.expander("On a cluster"):
        st.caption(
            "Several machines that see one folder train one student together: torchrun starts the same command on "
            "each. Prepare the run here, then type the command on every machine."
        )
        first, second = st.columns(2)
        nodes = first.number_input("Machines", 2, 10_000, 2, key="nodes")
        each = second.number_input("Processes on each", 1, 1024, device.count, key="each", help="One a GPU.")
        host = st.text_input(
            "First machine",
            socket.gethostname(),
            key="host",
            max_chars=200,
            help="The name or address by which the machines reach one of them.",
        )
        if st.button("Prepare", icon=":material/folder:", disabled=plan is None):
            assert config is not None
            try:
                state.remember("prepared", job.prepare(state.RUNS, config.to_json(), run_name).path)
            except ValueError as error:
                st.error(str(error), icon=":material/error:")
        if prepared := state.recall("prepared"):
            st.code(cluster_command(prepared, int(nodes), int(each), host.strip()), language="sh", wrap_lines=True)
