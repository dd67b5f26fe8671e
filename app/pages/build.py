"""Build: choose a teacher, a student and a method; start a run."""

import socket
from typing import Any

import streamlit as st

from app.build.budget import choose_budget, show_outlook
from app.build.corpus import choose_corpus, show_preview
from app.build.method import choose_method
from app.build.missing_text import waiting_for_text
from app.build.teacher import choose_teacher, show_card
from app.elements.shape_words import describe_shape
from app.elements.text import escape_markdown
from app.session import caches
from app.session.browser import recall, remember
from app.session.options_form import options_form, preset_choice
from app.session.widget_values import persistent, persistent_choice
from engine.methods.kinds.one_shot import OneShot
from engine.model.expansion import expansion_note
from engine.settings.run_config import RunConfig
from engine.sizing.cost import parameters
from engine.storage.allowed_folders import absolute_name
from engine.teachers import catalog
from engine.text.nltk_data import MissingCorpusError
from engine.training import job
from engine.training.launch import cluster_command

MASKINGS = {"token": "Single tokens", "word": "Whole words", "ngram": "Up to three words"}

st.title("Build a student")
st.caption("Choose who teaches, what the student looks like and how it learns. Then start, and watch it happen.")

left, right = st.columns([3, 2], gap="large")
with left:
    name = choose_teacher()
    try:
        with st.spinner("Asking for the teacher's card", show_time=True):
            card = catalog.teacher_card(name, caches.RUNS)
    except ValueError as error:
        st.error(escape_markdown(error), icon=":material/school:")
        st.stop()
    show_card(card)

    st.subheader("Method")
    method = choose_method()
    about = method.about

    st.subheader("Student")
    shape = card.shape
    shape_key = f"{name}_{shape}"  # a folder's model may be another one tomorrow, with other bounds
    student = {}
    if about.chooses:
        first, second, third = st.columns(3)
        if "layers" in about.chooses:
            most = shape.layers // 2 or 1 if about.chooses == ("layers",) else shape.layers
            student["layers"] = first.slider(
                "Layers", 1, shape.layers, **persistent(f"layers_{shape_key}_{most}", most)
            )
        if "hidden" in about.chooses:
            student["hidden"] = second.slider(
                "Width",
                shape.heads,
                shape.hidden,
                step=shape.heads,
                **persistent(f"hidden_{shape_key}", shape.hidden // 2 // shape.heads * shape.heads),
            )
        if "heads" in about.chooses:
            student["heads"] = third.slider("Heads", 1, shape.heads, **persistent(f"heads_{shape_key}", shape.heads))
    if issubclass(method, OneShot):
        st.caption(f"{about.label} starts from the teacher's shape: {shape}. The options say what becomes of it.")
    elif set(about.chooses) < {"layers", "hidden", "heads"}:
        st.caption(f"{about.label} keeps {'the rest of ' if about.chooses else ''}the teacher's shape: {shape}.")
    st.subheader("Options")
    preset = preset_choice(about.presets, about.preset_notes, f"preset_{about.name}") if about.presets else ""
    options = options_form(method.Options, f"options_{about.name}_{preset}", about.presets.get(preset))
    with st.expander("Run settings"):
        device, large = caches.device(), parameters(shape) > 10_000_000
        columns, budget = st.columns(4), ""
        if issubclass(method, OneShot):
            steps = int(
                columns[0].number_input(
                    "Healing steps",
                    0,
                    1_000_000,
                    help="Optimizer steps after the compression, which give the student time to recover; 0: none.",
                    **persistent(f"healing_{name}", 0),
                )
            )
        else:
            steps, budget = choose_budget(st, name, 200 if large else 500)
            columns = st.columns(4)
        batch = columns[1].number_input(
            "Batch", 1, 4096, help="Sequences a step.", **persistent(f"batch_{name}", card.batch)
        )
        length = columns[2].number_input(
            "Length",
            8,
            min(512, shape.positions),
            help="Longest sequence, in tokens.",
            **persistent(f"length_{shape_key}_{shape.positions}", card.length),
        )
        seed = columns[3].number_input(
            "Seed", 0, 2**31 - 1, help="Fixes initial weights, data order and masks.", **persistent("seed", 0)
        )
        takes_steps = not issubclass(method, OneShot) or steps > 0  # nobody shares or splits steps that are not taken
        processes = columns[0].number_input(
            "Processes",
            1,
            device.count,
            disabled=not takes_steps,
            help=f"They share every batch; this machine is good for {device.count}, one a "
            + ("CPU core." if device.type == "cpu" else "GPU."),
            **persistent("processes", 1),
        )
        accumulate = columns[1].number_input(
            "Micro-batches",
            1,
            4096,
            disabled=not takes_steps,
            help="Parts that each process takes one after the other: the same step in less memory.",
            **persistent("accumulate", 1),
        )
        text_settings: dict[str, Any] = {}  # how text is read, of a method that reads any
        if "task-agnostic" in about.uses:
            text_settings["masking"] = columns[2].selectbox(
                "Hidden together",
                format_func=MASKINGS.__getitem__,
                help="What is hidden as one: each token by itself, as BERT; whole words; or up to three words, as "
                "ALBERT.",
                **persistent_choice("masking", list(MASKINGS), "token"),
            )
            text_settings["mask_share"] = columns[3].number_input(
                "Share hidden",
                0.01,
                0.9,
                step=0.05,
                help="Of the tokens, in training; held-out text: 15%.",
                **persistent("mask_share", 0.15),
            )
        precision = columns[0].selectbox(
            "Precision",
            help="Of matrix products.",
            **persistent_choice("precision", ["auto", "float32", "bfloat16"], "auto"),
        )
    corpus = choose_corpus(name, card.corpus) if text_settings else "auto"

with right, st.container(border=True):
    config = plan = None
    try:
        from engine.training.plan import plan as make_plan
        from engine.training.plan import refuse_full_disk

        config = RunConfig(
            teacher=absolute_name(name),
            method=about.name,
            student=student,
            options=options,
            corpus=absolute_name(corpus) if text_settings else corpus,
            steps=steps,
            budget=budget,
            batch=int(batch),
            accumulate=int(accumulate) if takes_steps else 1,
            processes=int(processes) if takes_steps else 1,
            length=int(length),
            seed=int(seed),
            precision=precision,
            **text_settings,
        )
        plan = make_plan(config, caches.RUNS)
    except MissingCorpusError as error:
        st.info(waiting_for_text(error.names), icon=":material/menu_book:")
    except ValueError as error:
        st.error(escape_markdown(error), icon=":material/rule:")
    if plan:
        count, teacher_count = parameters(plan.shape), parameters(shape.replace(mlm_head=plan.shape.mlm_head))
        st.metric(
            "Student's parameters",
            f"{count:,}",
            "as many as the teacher"
            if count == teacher_count
            else f"{teacher_count / count:.2f}× smaller than the teacher's {teacher_count:,}",
            delta_color="off",
            delta_arrow="off",
        )
        st.caption(f"{describe_shape(plan.shape)}.")
        show_outlook(plan.estimate, budget)
        for note in plan.method.notes(shape, plan.shape) if plan.estimate.steps is not None else []:
            st.caption(escape_markdown(note))
        if note := expansion_note(plan.shape):
            st.caption(escape_markdown(f"Its export: {note[0].lower()}{note[1:]}"))
    st.markdown(
        f":material/memory: **{escape_markdown(device.name)}**, "
        + ("bfloat16 products" if device.mixed_precision else "float32")
    )
    run_name = f"{about.name}-{plan.shape.layers}x{plan.shape.hidden}" if plan else ""
    if st.button("Start", type="primary", icon=":material/play_arrow:", disabled=plan is None, width="stretch"):
        assert config is not None
        assert plan is not None
        try:
            refuse_full_disk(config, plan, caches.RUNS)
            run = job.start(caches.RUNS, config.to_json(), run_name)
        except ValueError as error:
            st.error(escape_markdown(error), icon=":material/error:")
        else:
            st.switch_page("app/pages/watch.py", query_params={"run": run.id})
    st.caption("The run works in the background: you can close this page and come back.")
    with st.expander("On a cluster"):
        st.caption(
            "Several machines that see one folder train one student together: torchrun starts the same command on "
            "each. Prepare the run here, then type the command on every machine."
        )
        first, second = st.columns(2)
        nodes = first.number_input("Machines", 2, 10_000, **persistent("nodes", 2))
        each = second.number_input("Processes on each", 1, 1024, help="One a GPU.", **persistent("each", device.count))
        host = st.text_input(
            "First machine",
            max_chars=200,
            help="The name or address by which the machines reach one of them.",
            **persistent("host", socket.gethostname()),
        )
        if st.button("Prepare", icon=":material/folder:", disabled=plan is None):
            assert config is not None
            try:
                remember("prepared", job.prepare(caches.RUNS, config.to_json(), run_name).path)
            except ValueError as error:
                st.error(escape_markdown(error), icon=":material/error:")
        if prepared := recall("prepared"):
            st.code(cluster_command(prepared, int(nodes), int(each), host.strip()), language="sh", wrap_lines=True)

if (
    config is not None
    and plan is not None
    and text_settings
    and st.toggle(
        "Look at the corpus",
        help="Reads and tokenises its beginning; a moment for a new text.",
        **persistent("look_at_corpus", False),
    )
):
    show_preview(config, plan.corpus, plan.method.task.pairs)
