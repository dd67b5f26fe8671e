"""The verb evaluate: a model on held-out text, or on a labelled task, beside the teacher it came from."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from engine.cli.arguments import add_runs_folder
from engine.cli.notes import notes_of, say

if TYPE_CHECKING:
    from engine.settings.device import Device
    from engine.tasks.catalog import Task
    from engine.tasks.scores import Progress
    from engine.teachers.catalog import NamedModel

TEXT_SCORES = {  # what a model is scored by on held-out text -> what it is called in the table
    "loss": "loss, nats",
    "accuracy": "masked accuracy",
    "top5": "among the first five",
    "agreement": "agrees with {teacher}",
    "kl": "KL from {teacher}, nats",
}
CLOSENESS = {
    "sentence_cosine": "cosine of sentence embeddings",
    "attention_cosine": "cosine of attention",
    "attention_js": "attention apart, bits",
}
CORRELATIONS = ("matthews", "pearson", "spearman")  # metrics that are no percentages


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the verb. Names of tasks come from their catalog."""
    from engine.tasks.catalog import TASKS

    add_runs_folder(parser)
    parser.add_argument("model", help="a teacher's name or a run's id")
    parser.add_argument("--against", metavar="TEACHER", help="the model to be compared with (default: its teacher)")
    parser.add_argument("--task", help=f"fine-tune and score on this task: {', '.join(TASKS)}")
    parser.add_argument("--probe", action="store_true", help="a linear layer on frozen features instead: quick")
    parser.add_argument("--seeds", type=int, default=3, help="how many times the task is learned (default: 3)")
    parser.add_argument("--epochs", type=int, help="how often the training set is seen")
    parser.add_argument("--lr", type=float, help="peak learning rate of fine-tuning")
    parser.add_argument("--limit", type=int, default=0, help="at most so many examples of each split (default: all)")
    parser.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
    parser.add_argument("--precision", default="auto", help="auto, float32 or bfloat16")
    parser.add_argument("--corpus", default="auto", help="the text (default: the model's own)")
    parser.add_argument("--rows", type=int, default=512, help="held-out rows to score (default: 512)")


def run(arguments: argparse.Namespace) -> None:
    """Scores the model and its teacher, and prints both.

    Raises:
        ValueError: it cannot be scored as asked.
    """
    from engine.settings.device import pick_device
    from engine.tasks.catalog import TASKS, find_task
    from engine.teachers.catalog import open_model

    if arguments.rows < 1:
        raise ValueError(f"--rows must be at least 1, got {arguments.rows}; 512 is usual.")
    for name in ("epochs", "lr"):
        value = getattr(arguments, name)
        if value is not None and not value > 0:
            raise ValueError(f"--{name} must be above 0, got {value}.")
    if arguments.limit < 0:
        raise ValueError(f"--limit must be 0 (all) or more, got {arguments.limit}.")
    if arguments.probe and not arguments.task:
        raise ValueError(f"--probe needs a --task: one of {', '.join(TASKS)}.")
    device = pick_device(arguments.device, arguments.precision)
    task = find_task(arguments.task) if arguments.task else None
    model = open_model(arguments.model, arguments.runs)
    other = arguments.against or model.teacher
    teacher = open_model(other, arguments.runs) if other else None
    say(notes_of(model, teacher))
    if task is not None:
        _score_on_task(arguments, task, model, teacher, device)
    else:
        _score_on_text(arguments, model, teacher, device)


def _score_on_text(
    arguments: argparse.Namespace, model: NamedModel, teacher: NamedModel | None, device: Device
) -> None:
    """Prints masked-LM scores on held-out text, and how close the model is to its teacher."""
    from engine.learning.closeness import closeness
    from engine.learning.masked_lm import masked_lm_report
    from engine.text.corpora import open_corpus

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
        "notes": notes_of(model, teacher),
    }
    if arguments.json:
        print(json.dumps(answer))
        return
    print(f"{model.name} on {len(corpus.held_out):,} held-out rows of {name}, with 95% intervals over rows")
    for key, words in TEXT_SCORES.items():
        if key in report:
            label, found = words.format(teacher=teacher.name if teacher else "nobody"), report[key]
            print(f"{label:>32} {_with_ends(found, key not in ('loss', 'kl'))}")
    for key, value in near.items():
        print(f"{CLOSENESS[key]:>32} {value:.3f}")


def _score_on_task(
    arguments: argparse.Namespace, task: Task, model: NamedModel, teacher: NamedModel | None, device: Device
) -> None:
    """Prints scores on a labelled task over several seeds, and how much of its teacher's the model retains."""
    from engine.tasks.finetune import FineTuneRecipe
    from engine.tasks.scores import retained_score, score_task, with_epochs_and_rate

    recipe = None if arguments.probe else with_epochs_and_rate(FineTuneRecipe(), arguments.epochs, arguments.lr)
    answers = {}
    for one in (model, teacher):
        if one is not None:
            progress = _show_progress(one.name) if sys.stderr.isatty() else None
            answers[one.name] = score_task(
                one.bert, one.tokenizer, task, recipe, arguments.seeds, device, progress, arguments.limit
            )
    own = answers[model.name]
    kept = retained_score(own, answers[teacher.name]) if teacher is not None else None
    if arguments.json:
        answer: dict[str, Any] = {"model": model.name, **own, "notes": notes_of(model, teacher)}
        if teacher is not None:
            answer |= {"teacher": teacher.name, "teacher_scores": answers[teacher.name]["scores"], "retained": kept}
        print(json.dumps(answer))
        return
    how = "a linear layer on frozen features" if arguments.probe else "fine-tuned"
    sizes, count = own["examples"], f"{len(own['seeds'])} seed{'s' if len(own['seeds']) > 1 else ''}"
    print(f"{task.name}: {task.label} {how}, {count}, {sizes['test']:,} test examples")
    for name, answer in answers.items():
        for metric, found in answer["scores"].items():
            print(
                f"{name:>40} {metric:>12} {_number(found['mean'], found['interval'], metric not in CORRELATIONS)}",
                end="",
            )
            print(f"  spread {found['spread']:.4f}" if found["spread"] is not None else "")
    for metric, value in own["baseline"].items():
        print(f"{'always the most frequent':>40} {metric:>12} {_number(value, None, metric not in CORRELATIONS)}")
    if kept is not None:
        print(f"{'retained':>40} {own['metric']:>12} {_number(kept['retained'], kept['interval'], True)}")
    print(f"recipe {json.dumps(own['recipe'])}; {sum(a['seconds'] for a in answers.values()):,.0f} s; {device.name}")


def _show_progress(name: str) -> Progress:
    def show(what: str, share: float) -> None:
        print(f"\r{name}: {what}, {share:4.0%}\033[K", end="" if share < 1 else "\n", file=sys.stderr, flush=True)

    return show


def _with_ends(found: dict[str, float | None], as_percent: bool) -> str:
    """A number with both ends of its interval, which need not lie equally far away: 2.0% (0.6 to 6.4)."""
    scale, unit, digits = (100, "%", 1) if as_percent else (1, "", 3)
    value, low, high = found["value"], found["low"], found["high"]
    assert value is not None
    if low is None or high is None:
        return f"{scale * value:.{digits}f}{unit}"
    return f"{scale * value:.{digits}f}{unit} ({scale * low:.{digits}f} to {scale * high:.{digits}f})"


def _number(value: float, interval: float | None, as_percent: bool) -> str:
    scale, unit, digits = (100, "%", 1) if as_percent else (1, "", 3)
    width = "" if interval is None else f" ± {scale * interval:.{digits}f}"
    return f"{scale * value:.{digits}f}{unit}{width}{' points' if as_percent and width else ''}"
