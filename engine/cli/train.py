"""The verb train: a run in the foreground, from a command line's arguments over a progress bar to its card."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from engine.learning.score_kind import card_accuracies, score_kind_of
from engine.settings import budget
from engine.settings.run_config import RunConfig
from engine.storage import runs
from engine.storage.allowed_folders import absolute_name
from engine.storage.runs import ENDED, Run
from engine.training import job
from engine.training.device_queue import POLL_S

SETTINGS = (
    *("teacher", "method", "corpus", "device", "steps", "batch", "accumulate", "processes", "length", "seed"),
    *("evaluations", "checkpoints", "precision", "masking", "mask_share", "warmup", "clip"),
)
SIZES = ("layers", "hidden", "heads", "head_dim", "ffn")


def train(arguments: argparse.Namespace) -> int:
    """Trains what the command line asks for, to its end. Returns the exit code: 0 well, 1 without a student.

    Raises:
        ValueError: it cannot be run as asked.
    """
    if arguments.resume:
        run = runs.open_run(arguments.runs, arguments.resume)
        if job.at_work(run):
            raise ValueError(f"Run {run.id} is at work already; stop it first, or wait for it.")
        config = RunConfig.from_json(run.config())
        if arguments.processes is not None:
            config = dataclasses.replace(config, processes=arguments.processes)
        seen = run.events()[1]
        if config.processes > 1:
            job.resume(run, processes=config.processes)
        else:
            job.queue(run)
    else:
        config = _config(arguments)
        from engine.training.plan import plan

        shape, seen = plan(config, arguments.runs).shape, 0  # refuses before a folder is made
        begin = job.start if config.processes > 1 else runs.create_run
        run = begin(arguments.runs, config.to_json(), f"{config.method}-{shape.layers}x{shape.hidden}")
    job.stop_on(run, signal.SIGTERM, signal.SIGINT)
    last = _show(run, _follow(run, seen) if config.processes > 1 else job.perform(run))
    return _report(run, last, arguments.json)


def _config(arguments: argparse.Namespace) -> RunConfig:
    from engine.methods.registry import find

    given = {name: getattr(arguments, name) for name in SETTINGS if getattr(arguments, name) is not None}
    student = {name: getattr(arguments, name) for name in SIZES if getattr(arguments, name) is not None}
    options = _preset(given.get("method", RunConfig().method), arguments.preset) | _option_values(arguments.option)
    if arguments.budget is not None:
        spend = budget.parse_budget(arguments.budget)
        if "steps" in given:
            raise ValueError("--steps and --budget say the same thing twice; give one of them.")
        given |= {"steps": int(spend.amount)} if spend.unit == "steps" else {"budget": spend.exact}
    if "steps" not in given and "budget" not in given and "method" in given and find(given["method"]).one_shot:
        given["steps"] = 0
    given |= {name: absolute_name(given[name]) for name in ("teacher", "corpus") if name in given}
    return RunConfig(**given, student=student, options=options)


def _preset(method: str, name: str | None) -> dict[str, Any]:
    """The options that the method's preset `name` sets."""
    if name is None:
        return {}
    from engine.methods.registry import find

    presets = find(method).presets
    if name not in presets:
        has = f"it has {', '.join(presets)}" if presets else "it has none"
        raise ValueError(f"The method {method} has no preset {name!r}; {has}.")
    return dict(presets[name])


def _option_values(pairs: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--option needs NAME=VALUE, got {pair!r}.")
        try:
            values[name.strip()] = json.loads(value)  # numbers, true and false
        except json.JSONDecodeError:
            values[name.strip()] = value
    return values


def _follow(run: Run, seen: int) -> Iterator[dict[str, Any]]:
    """The run's events from byte offset `seen` on, as its processes append them, until it has ended."""
    while True:
        ended = run.status() in ENDED  # asked first: whatever ended it has written its last event by then
        events, seen = run.events(seen)
        yield from events
        if ended:
            return
        time.sleep(POLL_S)


def _show(run: Run, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """Draws the run's progress on stderr until it ends; its last event."""
    from tqdm import tqdm

    bar: Any = None
    last: dict[str, Any] = {}
    accuracy, title, doing = "", "", None
    for last in events:
        if doing is not None and (last["kind"] != "prepare" or "share" not in last):
            doing.close()
            doing = None
        if last["kind"] == "prepare" and "share" in last:
            doing = doing or tqdm(total=100, unit="%", desc=last["message"], file=sys.stderr, dynamic_ncols=True)
            doing.update(round(100 * last["share"]) - doing.n)
        elif last["kind"] == "prepare":
            tqdm.write(last["message"], file=sys.stderr)
        elif last["kind"] == "waiting":
            tqdm.write("Another run is using the device; waiting for it to end.", file=sys.stderr)
        elif last["kind"] == "start":
            title = score_kind_of(last).title
            several = f"{last['processes']} processes, " if last["processes"] > 1 else ""
            tqdm.write(f"{run.id} on {several}{last['device_name']}; Ctrl-C saves and stops", file=sys.stderr)
            bar = tqdm(total=last["steps"], initial=last["step"], unit="step", file=sys.stderr, dynamic_ncols=True)
        elif last["kind"] == "teacher":
            tqdm.write(f"teacher: {title[:1].lower()}{title[1:]} {last['accuracy']:.1%}", file=sys.stderr)
        elif last["kind"] == "evaluation":
            accuracy = f"accuracy {last['accuracy']:.1%}"
        if last["kind"] == "step" and bar is not None:
            bar.total = last.get("steps", bar.total)  # a budget in seconds moves it
            bar.update(last["step"] - bar.n)
        if last["kind"] in ("step", "evaluation") and bar is not None:
            loss = f"loss {last['loss']:.3f}" if last["kind"] == "step" else ""
            bar.set_postfix_str(", ".join(filter(None, [loss, accuracy])) or "")
    if bar is not None:
        bar.close()
    return last


def _report(run: Run, last: dict[str, Any], as_json: bool) -> int:
    """Prints what came out; the exit code."""
    card = last.get("card")
    if card is None:
        print(last.get("message", "The run ended without a student."), file=sys.stderr)
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
    print(f"saved in {run.student_dir}")
    return 0
