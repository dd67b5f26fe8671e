"""The verb train: a run in the foreground, from the command line's arguments over a progress bar to its card."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from engine.cli.arguments import add_flags, add_runs_folder, given_values
from engine.cli.notes import say
from engine.learning.score_kind import card_accuracies, score_kind_of
from engine.settings import budget
from engine.settings.run_config import RunConfig
from engine.storage.allowed_folders import absolute_name
from engine.storage.json_file import JsonFileError, parse_json
from engine.storage.run_records import event_problem
from engine.storage.runs import ENDED, Run, create_run, open_run

# Flags that are called as the fields of RunConfig, by the type of their value.
NAMES = {
    "corpus": "microworld, nltk:NAME[+NAME...], file:PATH[#COLUMN] or hub:DATASET[:CONFIG]; default: the teacher's",
    "device": "auto, cuda, mps or cpu",
    "precision": "auto, float32 or bfloat16",
    "masking": "token, word or ngram: what is hidden together",
}
NUMBERS = {
    "steps": "optimizer steps (default: 500; 0 for one-shot methods, whose steps only heal)",
    "batch": "sequences a step",
    "accumulate": "micro-batches that a step's batch is split into, to save memory (default: 1)",
    "processes": "processes on this machine that share every batch, one a GPU (default: 1)",
    "length": "longest sequence, in tokens",
    "seed": "fixes initial weights, data order and masks",
    "evaluations": "how often held-out text is scored",
    "checkpoints": "how often the state is saved",
}
FRACTIONS = {
    "mask_share": "share of the tokens that training hides (default: 0.15)",
    "warmup": "share of the steps with a rising learning rate (default: 0.05)",
    "clip": "largest gradient norm (default: 1)",
}
STUDENT_SIZES = {  # flags that say what is different in the student's shape
    "layers": "student's layers (default: the teacher's)",
    "hidden": "student's width",
    "heads": "student's heads",
    "head_dim": "dims of a student's head",
    "ffn": "width of the student's feed-forward network (default: 4 x hidden)",
}
RESUME_HELP = (
    "continue a run that stopped, failed or died; its settings come from its folder, but for --processes, --accumulate "
    "and learning rates (--option lr=...)"
)
SETTINGS = ("teacher", "method", *NAMES, *NUMBERS, *FRACTIONS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the verb. Names of teachers and methods come from their registries."""
    from engine.methods.registry import method_names
    from engine.teachers.shipped import SHIPPED

    add_runs_folder(parser)
    parser.add_argument("--resume", metavar="RUN", help=RESUME_HELP)
    parser.add_argument("--teacher", help=f"{', '.join(SHIPPED)}, hub:ID, local:FOLDER or run:ID")
    parser.add_argument("--method", help=", ".join(method_names()))
    add_flags(parser, str, NAMES)
    add_flags(parser, int, {**STUDENT_SIZES, **NUMBERS})
    parser.add_argument("--budget", metavar="AMOUNT", help=f"instead of --steps: {budget.BUDGET_EXAMPLES}")
    add_flags(parser, float, FRACTIONS)
    parser.add_argument("--preset", help="options that belong together, such as paper: the method's authors' choices")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the method; may be repeated"
    )


def run(arguments: argparse.Namespace) -> int:
    """Trains what the command line asks for, to its end. Returns the exit code: 0 well, 1 without a student.

    Raises:
        ValueError: it cannot be run as asked.
    """
    from engine.training import job

    started, processes, offset = _resumed(arguments) if arguments.resume else _started(arguments)
    job.stop_on(started, signal.SIGTERM, signal.SIGINT)  # at once: its processes are at work already
    _say_what_was_chosen(started)
    events = follow(started, offset) if processes > 1 else job.perform(started)
    last_event = show_progress(started, events)
    return _print_outcome(started, last_event, arguments.json)


def _resumed(arguments: argparse.Namespace) -> tuple[Run, int, int]:
    """(the stopped run, queued or at work again; its processes; the byte from which its events are new)."""
    from engine.training import job

    stopped = open_run(arguments.runs, arguments.resume)
    config = RunConfig.from_json(stopped.config())
    changes: dict[str, Any] = {}
    if arguments.accumulate is not None:  # a pass needs less memory
        changes["accumulate"] = arguments.accumulate
    if arguments.option:  # a rate that was too high; what else must stay is told by the run
        changes["options"] = {**config.options, **_read_options(arguments.option)}
    processes = config.processes if arguments.processes is None else arguments.processes
    dataclasses.replace(config, processes=processes, **changes)  # refuses before anything is touched
    offset = stopped.events_size()
    if processes > 1:
        job.resume(stopped, processes=processes, changes=changes)
    else:
        job.take_up(stopped, changes)
    return stopped, processes, offset


def _started(arguments: argparse.Namespace) -> tuple[Run, int, int]:
    """(a new run, at work if it has several processes; how many; the byte from which its events are new)."""
    from engine.training import job
    from engine.training.plan import plan, refuse_full_disk

    config = run_config(arguments)
    planned = plan(config, arguments.runs)  # refuses before a folder is made
    refuse_full_disk(config, planned, arguments.runs)
    shape = planned.shape
    begin = job.start if config.processes > 1 else create_run
    started = begin(arguments.runs, config.to_json(), f"{config.method}-{shape.layers}x{shape.hidden}")
    return started, config.processes, 0


def run_config(arguments: argparse.Namespace) -> RunConfig:
    """The config of the run that the command line asks for.

    Raises:
        ValueError: it asks for two lengths at once, for a method or a preset that there is not, or out of range.
    """
    from engine.methods.kinds.one_shot import OneShot
    from engine.methods.registry import find

    given = given_values(arguments, SETTINGS)
    student = given_values(arguments, STUDENT_SIZES)
    options = preset_options(given.get("method", RunConfig().method), arguments.preset) | _read_options(
        arguments.option
    )
    if arguments.budget is not None:
        spend = budget.parse_budget(arguments.budget)
        if "steps" in given:
            raise ValueError("--steps and --budget say the same thing twice; give one of them.")
        given |= {"steps": int(spend.amount)} if spend.unit == "steps" else {"budget": spend.exact}
    free = "steps" not in given and "budget" not in given
    if free and "method" in given and issubclass(find(given["method"]), OneShot):
        given["steps"] = 0
    given |= {name: absolute_name(given[name]) for name in ("teacher", "corpus") if name in given}
    return RunConfig(**given, student=student, options=options)


def _say_what_was_chosen(started: Run) -> None:
    """What the card of a teacher from outside says was chosen silently, on stderr."""
    teacher = str(started.config().get("teacher", ""))
    if teacher.startswith(("hub:", "local:")):
        from engine.teachers.catalog import teacher_card

        say(teacher_card(teacher).notes)


def preset_options(method: str, name: str | None) -> dict[str, Any]:
    """The options that the method's preset `name` sets."""
    if name is None:
        return {}
    from engine.methods.registry import find

    presets = find(method).about.presets
    if name not in presets:
        has = f"it has {', '.join(presets)}" if presets else "it has none"
        raise ValueError(f"The method {method} has no preset {name!r}; {has}.")
    return dict(presets[name])


def _read_options(pairs: list[str]) -> dict[str, Any]:
    """NAME=VALUE pairs as a dict; a value that is JSON (a number, true, false) is read as such."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--option needs NAME=VALUE, got {pair!r}.")
        try:
            values[name.strip()] = parse_json(value)
        except JsonFileError:
            values[name.strip()] = value
    return values


def follow(started: Run, offset: int) -> Iterator[dict[str, Any]]:
    """The run's events from byte `offset` on, as its processes append them, until it has ended."""
    from engine.training.device_queue import POLL_S

    while True:
        ended = started.status() in ENDED  # asked first: whatever ended it has written its last event by then
        events, offset = started.events(offset)
        yield from (event for event in events if not event_problem(event))
        if ended:
            return
        time.sleep(POLL_S)


def show_progress(started: Run, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """Draws the run's progress on stderr until it ends; returns its last event."""
    from tqdm import tqdm

    bar: Any = None
    event: dict[str, Any] = {}
    accuracy, title, doing = "", "", None
    for event in events:
        if doing is not None and (event["kind"] != "prepare" or "share" not in event):
            doing.close()
            doing = None
        if event["kind"] == "notice":
            tqdm.write(event["message"], file=sys.stderr)
        elif event["kind"] == "prepare" and "share" in event:
            doing = doing or tqdm(total=100, unit="%", desc=event["message"], file=sys.stderr, dynamic_ncols=True)
            doing.update(round(100 * event["share"]) - doing.n)
        elif event["kind"] == "prepare":
            tqdm.write(event["message"], file=sys.stderr)
        elif event["kind"] == "waiting":
            tqdm.write("Another run is using the device; waiting for it to end.", file=sys.stderr)
        elif event["kind"] == "start":
            title = score_kind_of(event).title
            several = f"{event['processes']} processes, " if event["processes"] > 1 else ""
            tqdm.write(f"{started.id} on {several}{event['device_name']}; Ctrl-C saves and stops", file=sys.stderr)
            bar = tqdm(total=event["steps"], initial=event["step"], unit="step", file=sys.stderr, dynamic_ncols=True)
        elif event["kind"] == "teacher":
            tqdm.write(f"teacher: {title[:1].lower()}{title[1:]} {event['accuracy']:.1%}", file=sys.stderr)
        elif event["kind"] == "evaluation":
            accuracy = f"accuracy {event['accuracy']:.1%}"
        if event["kind"] == "step" and bar is not None:
            bar.total = event.get("steps", bar.total)  # a budget in seconds moves it
            bar.update(event["step"] - bar.n)
        if event["kind"] in ("step", "evaluation") and bar is not None:
            loss = f"loss {event['loss']:.3f}" if event["kind"] == "step" else ""
            bar.set_postfix_str(", ".join(filter(None, [loss, accuracy])) or "")
    if bar is not None:
        bar.close()
    return event


def _print_outcome(ended: Run, last_event: dict[str, Any], as_json: bool) -> int:
    """Prints what came out; returns the exit code."""
    card = last_event.get("card")
    if card is None:
        print(last_event.get("message", "The run ended without a student."), file=sys.stderr)
        return 1
    if as_json:
        print(json.dumps(card))
        return 0
    scores, title = card["scores"], score_kind_of(card).title
    learned, taught = card_accuracies(card)
    print(f"{card['id']}: {card['parameters']:,} of {card['teacher_parameters']:,} parameters, ", end="")
    print(f"{title[:1].lower()}{title[1:]} {learned:.1%} of the teacher's {taught:.1%}", end="")
    print(
        f" ({scores['retained']:.1%} retained), {card['seconds']:.0f} s{'' if card['complete'] else ', stopped early'}"
    )
    print(f"saved in {ended.student_dir}")
    return 0
