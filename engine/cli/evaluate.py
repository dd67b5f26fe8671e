"""The verb evaluate: a model on held-out text, or on a labelled task, beside the teacher it came from."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from engine.learning.closeness import closeness
from engine.learning.masked_lm import masked_lm_report
from engine.settings.device import Device, pick_device
from engine.tasks import catalog as tasks
from engine.tasks.finetune import Recipe
from engine.tasks.scores import Progress, quick, retained, score
from engine.teachers.catalog import AnyModel, open_model
from engine.text.corpora import open_corpus


def evaluate(arguments: argparse.Namespace) -> None:
    """Prints what the command line asks for.

    Raises:
        ValueError: it cannot be scored as asked.
    """
    if arguments.rows < 1:
        raise ValueError(f"--rows must be at least 1, got {arguments.rows}; 512 is usual.")
    for name in ("epochs", "lr"):
        value = getattr(arguments, name)
        if value is not None and not value > 0:
            raise ValueError(f"--{name} must be above 0, got {value}.")
    if arguments.limit < 0:
        raise ValueError(f"--limit must be 0 (all) or more, got {arguments.limit}.")
    if arguments.probe and not arguments.task:
        raise ValueError(f"--probe needs a --task: one of {', '.join(tasks.TASKS)}.")
    device = pick_device(arguments.device, arguments.precision)
    task = tasks.find(arguments.task) if arguments.task else None
    model = open_model(arguments.model, arguments.runs)
    other = arguments.against or model.teacher
    teacher = open_model(other, arguments.runs) if other else None
    if task is not None:
        _task(arguments, task, model, teacher, device)
    else:
        _text(arguments, model, teacher, device)


def _text(arguments: argparse.Namespace, model: AnyModel, teacher: AnyModel | None, device: Device) -> None:
    for one in (model, teacher):
        if one is not None and one.bert.head is None:
            raise ValueError(f"{one.name} has no masked-LM head and fills in no words; score it on a --task.")
    name = model.corpus if arguments.corpus == "auto" else arguments.corpus
    length = min(64, model.bert.shape.positions)
    corpus = open_corpus(name, model.tokenizer, length, rows=1, held_out_rows=arguments.rows)
    same = teacher is not None and teacher.tokenizer.get_vocab() == model.tokenizer.get_vocab()
    judge = teacher.bert.to(device.type) if teacher is not None and same else None
    report = masked_lm_report(model.bert.to(device.type), corpus, device, judge)
    near = closeness(model.bert, teacher.bert, corpus, device) if teacher is not None and same else {}
    answer = {
        "model": model.name,
        "teacher": teacher.name if teacher else None,
        "corpus": name,
        "rows": len(corpus.held_out),
        "masked_accuracy": report["accuracy"]["value"],
        "masked_accuracy_interval": report["accuracy"]["interval"],
        "masked_loss": report["loss"]["value"],
        "report": report,
        "closeness": near,
    }
    if arguments.json:
        print(json.dumps(answer))
        return
    print(f"{model.name} on {len(corpus.held_out):,} held-out rows of {name}, with 95% intervals over rows")
    labels = {
        "loss": "loss, nats",
        "accuracy": "masked accuracy",
        "top5": "among the first five",
        "agreement": f"agrees with {other_name(teacher)}",
        "kl": f"KL from {other_name(teacher)}, nats",
    }
    for key, label in labels.items():
        if key in report:
            print(f"{label:>32} {_number(report[key]['value'], report[key]['interval'], key not in ('loss', 'kl'))}")
    names = {
        "sentence_cosine": "cosine of sentence embeddings",
        "attention_cosine": "cosine of attention",
        "attention_js": "attention apart, bits",
    }
    for key, value in near.items():
        print(f"{names[key]:>32} {value:.3f}")


def _task(
    arguments: argparse.Namespace, task: tasks.Task, model: AnyModel, teacher: AnyModel | None, device: Device
) -> None:
    recipe = None if arguments.probe else quick(Recipe(), arguments.epochs, arguments.lr)
    answers = {}
    for one in (model, teacher):
        if one is not None:
            say = _progress(one.name) if sys.stderr.isatty() else None
            answers[one.name] = score(
                one.bert, one.tokenizer, task, recipe, arguments.seeds, device, say, arguments.limit
            )
    mine = answers[model.name]
    kept = retained(mine, answers[teacher.name]) if teacher is not None else None
    if arguments.json:
        answer: dict[str, Any] = {"model": model.name, **mine}
        if teacher is not None:
            answer |= {"teacher": teacher.name, "teacher_scores": answers[teacher.name]["scores"], "retained": kept}
        print(json.dumps(answer))
        return
    how = "a linear layer on frozen features" if arguments.probe else "fine-tuned"
    sizes, count = mine["examples"], f"{len(mine['seeds'])} seed{'s' if len(mine['seeds']) > 1 else ''}"
    print(f"{task.name}: {task.label} {how}, {count}, {sizes['test']:,} test examples")
    for name, answer in answers.items():
        for metric, found in answer["scores"].items():
            print(f"{name:>40} {metric:>12} {_number(found['mean'], found['interval'], _share(metric))}", end="")
            print(f"  spread {found['spread']:.4f}" if found["spread"] is not None else "")
    for metric, value in mine["baseline"].items():
        print(f"{'always the most frequent':>40} {metric:>12} {_number(value, None, _share(metric))}")
    if kept is not None:
        print(f"{'retained':>40} {mine['metric']:>12} {_number(kept['retained'], kept['interval'], True)}")
    print(f"recipe {json.dumps(mine['recipe'])}; {sum(a['seconds'] for a in answers.values()):,.0f} s; {device.name}")


def _progress(name: str) -> Progress:
    def say(what: str, share: float) -> None:
        print(f"\r{name}: {what}, {share:4.0%}\033[K", end="" if share < 1 else "\n", file=sys.stderr, flush=True)

    return say


def _share(metric: str) -> bool:
    return metric not in ("matthews", "pearson", "spearman")


def _number(value: float, interval: float | None, share: bool) -> str:
    scale, unit, digits = (100, "%", 1) if share else (1, "", 3)
    width = "" if interval is None else f" ± {scale * interval:.{digits}f}"
    return f"{scale * value:.{digits}f}{unit}{width}{' points' if share and width else ''}"


def other_name(teacher: AnyModel | None) -> str:
    """What the teacher is called in a table."""
    return teacher.name if teacher else "nobody"
