"""A run as one HTML page to hand in or to show: what was made, how it learned, where it looks, how layers move."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.inspection.layer_similarity import layer_movement
from engine.inspection.probe import Probe, probe
from engine.learning.score_kind import card_accuracies, score_kind_of
from engine.methods.base import description
from engine.methods.registry import find
from engine.model.saved_models import Model, load_model
from engine.reports.attention_page import ModelAttention, attention_page, attention_section
from engine.reports.html_page import escape, fact_table, html_document, tiles
from engine.reports.svg_curves import line_chart
from engine.settings.run_config import train_command
from engine.sizing.shape import Shape
from engine.storage.run_records import is_number
from engine.storage.runs import Run, RunError
from engine.teachers.catalog import NamedModel, load_teacher

Event = dict[str, Any]


def run_report(run: Run, root: Path, text: str = "") -> str:
    """The report of a `run` that made a student; `root`: the folder of runs, where a teacher may be.

    `text`: the sentence whose attention is shown; the teacher's own example when it is empty.

    Raises:
        RunError: the run has no student yet.
        ValueError: (TeacherError, CheckpointError, ProbeError) its models cannot be read, or the text is no sentence.
    """
    card = run.card()
    if not card or not run.student_dir.exists():
        raise RunError(f"The run {run.id} has no student to report on yet; let it finish, or stop it to keep one.")
    events = run.history()
    teacher, student = load_teacher(card["teacher"], root), load_model(run.student_dir)
    text = text.strip() or teacher.card.example
    seen = {
        "teacher": probe(teacher.bert, teacher.tokenizer, text),
        "student": probe(student.bert, student.tokenizer, text),
    }
    part, script = attention_section(model_attentions(str(card["teacher"]), student, seen))
    return html_document(
        f"Heirloom: {run.id}",
        [
            f"<h1>{escape(run.id)}</h1>",
            f"<p>{_summary_sentence(card)}</p>",
            tiles(_tiles(card)),
            "<h2>How it learned</h2>",
            *_method_description(card["method"]),
            f'<div class="beside">{"".join(_curves(events, score_kind_of(card).title))}</div>',
            "<h2>Where it looks</h2>",
            f"<p>{escape(text)}</p>",
            *(f'<p class="quiet">{escape(note)}</p>' for note in reading_notes(seen)),
            part,
            *_inheritance_section(events),
            "<h2>How far each layer moves its input</h2>",
            f'<div class="beside">{"".join(_layer_charts(seen))}</div>',
            '<p class="quiet">L2: the Euclidean distance between a layer\'s input and output; angle: between the two, '
            "in degrees (ALBERT, arXiv 1909.11942, figure 1). Mean over the tokens of the sentence above.</p>",
            "<h2>The run</h2>",
            f'<div class="scroll">{fact_table(_facts(card))}</div>',
            "<p></p>",
            f"<pre>{escape(train_command(run.config()))}</pre>",
        ],
        [script],
    )


def model_attention_page(model: NamedModel, seen: Probe, text: str, root: Path) -> str:
    """A page of the attention `seen` in a `model` over `text`; beside it its teacher's, where it has one.

    Raises:
        ValueError: (TeacherError, ProbeError) the teacher cannot be read.
    """
    shown = {"teacher": ModelAttention("teacher", model.name, seen.tokens, seen.attentions)}
    if model.teacher:
        teacher = load_teacher(model.teacher, root)
        above = probe(teacher.bert, teacher.tokenizer, text)
        shown = {
            "teacher": ModelAttention("teacher", f"Teacher {model.teacher}", above.tokens, above.attentions),
            "student": ModelAttention("student", f"Student {model.name}", seen.tokens, seen.attentions),
        }
    return attention_page(list(shown.values()), text, reading_notes({"model": seen}))


def model_attentions(teacher: str, student: Model, seen: Mapping[str, Probe]) -> list[ModelAttention]:
    """What a page of attention shows of a teacher and its student."""
    labels = {
        "teacher": f"Teacher {teacher}",
        "student": f"Student {student.card['method']}, {student.bert.shape.layers} x {student.bert.shape.hidden}",
    }
    return [ModelAttention(role, labels[role], found.tokens, found.attentions) for role, found in seen.items()]


def reading_notes(seen: Mapping[str, Probe]) -> list[str]:
    """What a reader should know of how a text was read, one sentence each."""
    first = next(iter(seen.values()))
    found = []
    if first.unknown:
        words = ", ".join(dict.fromkeys(first.unknown))
        found.append(f"The vocabulary does not have: {words}. These words appear as [UNK].")
    if first.cut:
        found.append(f"The sentence is long: its last {first.cut} tokens were left out.")
    return found


def _summary_sentence(card: Mapping[str, Any]) -> str:
    shape, label = Shape.from_json(card["shape"]), find(card["method"]).about.label
    early = "" if card["complete"] else f", of which {card['steps_done']:,} were done"
    return escape(
        f"{label} made a student of {shape} from the teacher {card['teacher']} in {card['steps']:,} steps{early}, with "
        f"the text {card['corpus']} and the seed {card['seed']}."
    )


def _method_description(method: str) -> list[str]:
    """What the method says of itself, a paragraph each; it is markdown with nothing in it but emphasis."""
    text = description(find(method)).replace("*", "")
    return [f"<p>{escape(paragraph)}</p>" for paragraph in text.split("\n\n")]


def _tiles(card: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    shown = [
        (
            "Parameters",
            f"{card['parameters']:,}",
            f"{card['teacher_parameters'] / card['parameters']:.2f}× fewer than the teacher's "
            f"{card['teacher_parameters']:,}",
        )
    ]
    students, teachers = card_accuracies(card)
    title = score_kind_of(card).title
    return [
        ("Retained", f"{card['scores']['retained']:.1%}", "of what the teacher reaches"),
        (title, f"{students:.1%}", f"teacher {teachers:.1%}"),
        *shown,
        ("Took", f"{card['seconds']:,.0f} s", str(card["device_name"])),
    ]


def _curves(events: list[Event], measured: str) -> list[str]:
    steps = _events_of(events, "step")
    evaluations = [event for event in _events_of(events, "evaluation") if "accuracy" in event]
    teacher = next((event["accuracy"] for event in reversed(events) if event["kind"] == "teacher"), None)
    names = list(dict.fromkeys(name for event in steps for name in event["losses"]))
    losses = {name: [(e["step"], e["losses"][name]) for e in steps if name in e["losses"]] for name in names}
    accuracy = {"student": [(event["step"], 100 * event["accuracy"]) for event in evaluations]}
    return [
        line_chart(losses, "Training loss", "step", "nats"),
        line_chart(
            accuracy,
            f"{measured}, held out",
            "step",
            "%",
            {} if teacher is None else {"teacher": 100 * teacher},
        ),
    ]


def _inheritance_section(events: list[Event]) -> list[str]:
    """The inheritance score at every evaluation, and what it is held against; nothing for a run without a film."""
    seen = _events_of(events, "attention")
    shown = (
        ("student, heads matched", "matched"),
        ("random students", "random"),
        ("shuffled heads", "shuffled"),
    )
    curves = {
        name: [(event["step"], score) for event in seen if is_number(score := _score_in(event.get(key)))]
        for name, key in shown
    }
    chart = line_chart(curves, "Inheritance score", "step", "0 to 1")
    if not chart:
        return []
    return [
        "<h2>Whether attention was inherited</h2>",
        f'<div class="beside">{chart}<p>One less the Jensen-Shannon divergence of student and teacher, divided by what '
        "random students have: 0 is no nearer to the teacher than chance, 1 is the teacher itself. Over a dozen "
        "held-out sentences, [CLS] and [SEP] left out, student heads matched with teacher heads one to one.</p></div>",
    ]


def _score_in(figure: Any) -> Any:
    return figure.get("score") if isinstance(figure, dict) else None


def _events_of(events: list[Event], kind: str) -> list[Event]:
    """The events of one kind in order; what was done twice, after a resume, counts once."""
    return list({event.get("step", 0): event for event in events if event["kind"] == kind}.values())


def _layer_charts(seen: Mapping[str, Probe]) -> list[str]:
    moved = {role: layer_movement(found.hidden) for role, found in seen.items()}
    charts = []
    for measure, title, unit in (("l2", "L2 distance", "distance"), ("angle", "Angle", "degrees")):
        curves = {
            role: [((layer + 1) / len(steps[measure]), float(np.mean(row))) for layer, row in enumerate(steps[measure])]
            for role, steps in moved.items()
        }
        charts.append(line_chart(curves, f"{title} of each layer's input and output", "relative depth", unit))
    return charts


def _facts(card: Mapping[str, Any]) -> dict[str, object]:
    options = ", ".join(f"{name} {value}" for name, value in card.get("options", {}).items() if value != "")
    return {
        "Teacher": card["teacher"],
        "Method": f"{card['method']} ({options})" if options else card["method"],
        "Student": Shape.from_json(card["shape"]),
        "Text": card["corpus"],
        "Steps": f"{card['steps_done']:,} of {card['steps']:,}, {card['batch']} rows of {card['length']} tokens",
        "Seed": card["seed"],
        "Continues": card.get("parent") or "",
        "Computed on": f"{card['device_name']}, precision {card['precision']}",
        "Made by": ", ".join(f"{name} {version}" for name, version in card.get("versions", {}).items()),
    }
