"""The command line: python -m engine size | train | runs | attention | evaluate | export | bench.

Bad input ends with one line on stderr and exit code 2. Modules that need torch are imported by the verbs that need it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from engine import size_command

DEFAULT_RUNS = Path(os.environ.get("HEIRLOOM_RUNS", "runs"))


class _OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line instead of printing its whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command. Returns the exit code: 0 well, 2 bad input, 1 anything else."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.verb(arguments) or 0
    except ValueError as error:  # every error of ours that a person can mend is one
        print(f"engine {arguments.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output went away
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - must outlive this function
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = _OneLineParser(prog="python -m engine", description="Explore BERT compression from a terminal.")
    verbs = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_OneLineParser)

    def verb(name: str, function: Any, help: str, **more: Any) -> argparse.ArgumentParser:
        found = verbs.add_parser(name, help=help, description=help, **more)
        found.set_defaults(verb=function)
        found.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")
        return found

    def runs_option(found: argparse.ArgumentParser) -> None:
        found.add_argument("--runs", type=Path, default=DEFAULT_RUNS, metavar="DIR", help="folder of run folders")

    size_command.add_arguments(verb("size", size_command.run, "Count a model exactly; find shapes for a budget."))

    train = verb("train", _train, "Train a student, in the foreground.")
    runs_option(train)
    train.add_argument("--resume", metavar="RUN", help="continue a stopped run; other settings come from its folder")
    for name, help in {
        "teacher": "microworld, minilm or blank",
        "method": "wid, scratch or soft_targets",
        "corpus": "microworld, or nltk:NAME[+NAME...]; default: the teacher's own",
        "device": "auto, cuda, mps or cpu",
    }.items():
        train.add_argument(f"--{name}", help=help)
    for name, help in {
        "layers": "student's layers (default: the teacher's)",
        "hidden": "student's width",
        "heads": "student's heads",
        "head-dim": "dims of a student's head",
        "ffn": "width of the student's feed-forward network (default: 4 x hidden)",
        "steps": "optimizer steps",
        "batch": "sequences a step",
        "accumulate": "micro-batches that a step's batch is split into, to save memory (default: 1)",
        "processes": "processes on this machine that share every batch, one a GPU (default: 1)",
        "length": "longest sequence, in tokens",
        "seed": "fixes initial weights, data order and masks",
        "evaluations": "how often held-out text is scored",
        "checkpoints": "how often the state is saved",
    }.items():
        train.add_argument(f"--{name}", type=int, help=help)
    train.add_argument("--preset", help="options that belong together; wid has quick (its default) and paper")
    train.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the method; may be repeated"
    )

    runs = verb("runs", _runs, "List runs, or stop one.")
    runs_option(runs)
    runs.add_argument("--stop", metavar="RUN", help="save and stop this run, by force if it does not listen")

    attention = verb("attention", _attention, "Where a model looks: one line a head, the strongest link of each.")
    runs_option(attention)
    attention.add_argument("model", help="a teacher's name or a run's id")
    attention.add_argument("text", help="the sentence")

    evaluate = verb("evaluate", _evaluate, "Score a model on held-out text.")
    runs_option(evaluate)
    evaluate.add_argument("model", help="a teacher's name or a run's id")
    evaluate.add_argument("--corpus", default="auto", help="the text (default: the model's own)")
    evaluate.add_argument("--rows", type=int, default=512, help="held-out rows to score (default: 512)")

    export = verb("export", _export, "Write a run's student as a folder that transformers loads.")
    runs_option(export)
    export.add_argument("run", help="a run's id, or its folder")
    export.add_argument("folder", type=Path, help="a new folder")

    bench = verb("bench", _bench, "Measure speed and memory on this machine.")
    bench.add_argument("what", choices=["wid", "size"], help="wid: its steps; size: the calculator")
    bench.add_argument("--case", default="cpu", help="cpu: 6x384 to 6x192; gpu: 12x768 to 12x192 and 12x516")
    bench.add_argument("--repeats", type=int, default=7, help="steps of each kind, interleaved")
    return parser


def _train(arguments: argparse.Namespace) -> int:
    from engine.foreground import train

    return train(arguments)


def _runs(arguments: argparse.Namespace) -> None:
    from engine import job, runs

    if arguments.stop:
        run = runs.open_run(arguments.runs, arguments.stop)
        status = job.stop(run)
        print(json.dumps({"id": run.id, "status": status}) if arguments.json else f"{run.id}  {status}")
        return
    found = [(run, run.status(), run.card() or {}) for run in runs.list_runs(arguments.runs)]
    if arguments.json:
        print(json.dumps([{"id": run.id, "status": status, "card": card or None} for run, status, card in found]))
        return
    for run, status, card in found:
        score = f"{card['scores']['retained']:6.1%} retained, {card['parameters']:,} parameters" if card else ""
        print(f"{run.id}  {status:9}  {score}".rstrip())
    if not found:
        print(f"No runs in {arguments.runs} yet; start one with: python -m engine train", file=sys.stderr)


def _model(arguments: argparse.Namespace) -> Any:
    """(bert, tokenizer, corpus) of a teacher's name or a run's id."""
    from engine import checkpoints, runs, teachers

    if arguments.model in teachers.TEACHERS:
        teacher = teachers.load(arguments.model)
        return teacher.bert, teacher.tokenizer, teacher.card.corpus
    model = checkpoints.load_model(runs.open_run(arguments.runs, arguments.model).student_dir)
    return model.bert, model.tokenizer, model.card["corpus"]


def _attention(arguments: argparse.Namespace) -> None:
    from engine.probe import probe

    bert, tokenizer, _ = _model(arguments)
    seen = probe(bert.eval(), tokenizer, arguments.text)
    if arguments.json:
        print(
            json.dumps(
                {"tokens": seen.tokens, "attentions": seen.attentions.round(4).tolist(), "unknown": seen.unknown}
            )
        )
        return
    for layer, heads in enumerate(seen.attentions, start=1):
        for head, grid in enumerate(heads, start=1):
            inner = grid[1:-1, 1:-1]  # attention to [CLS] and [SEP] says little
            source, target = divmod(int(inner.argmax()), inner.shape[1])
            words = f"{seen.tokens[source + 1]} -> {seen.tokens[target + 1]}"
            print(f"layer {layer} head {head}: {words}  {inner[source, target]:.0%}")


def _evaluate(arguments: argparse.Namespace) -> None:
    if arguments.rows < 1:
        raise ValueError(f"--rows must be at least 1, got {arguments.rows}; 512 is usual.")
    from engine.corpora import open_corpus
    from engine.device import pick
    from engine.evaluate import accuracy_interval, masked_lm_score

    bert, tokenizer, own_corpus = _model(arguments)
    name = own_corpus if arguments.corpus == "auto" else arguments.corpus
    device = pick()
    corpus = open_corpus(name, tokenizer, min(64, bert.shape.positions), rows=1, held_out_rows=arguments.rows)
    score = masked_lm_score(bert.to(device.type), corpus, device)
    answer = {
        "model": arguments.model,
        "corpus": name,
        "rows": len(corpus.held_out),
        "masked_accuracy": score["accuracy"],
        "masked_accuracy_interval": accuracy_interval(score["accuracy"], score["words"]),
        "masked_loss": score["loss"],
    }
    if arguments.json:
        print(json.dumps(answer))
        return
    print(f"{arguments.model} on {len(corpus.held_out):,} held-out rows of {name}: ", end="")
    print(f"masked accuracy {score['accuracy']:.1%} ± {100 * answer['masked_accuracy_interval']:.1f} points, ", end="")
    print(f"loss {score['loss']:.3f} nats")


def _export(arguments: argparse.Namespace) -> None:
    from engine import checkpoints, runs

    path = Path(arguments.run)
    run = (
        runs.open_run(path.absolute().parent, path.name)
        if path.is_dir()
        else runs.open_run(arguments.runs, arguments.run)
    )
    checkpoints.export_model(checkpoints.load_model(run.student_dir), arguments.folder)
    print(json.dumps({"folder": str(arguments.folder)}) if arguments.json else f"exported to {arguments.folder}")


def _bench(arguments: argparse.Namespace) -> None:
    if arguments.what == "size":
        from engine import bench_size

        timed = bench_size.bench_size(arguments.repeats)
        print(json.dumps(timed) if arguments.json else bench_size.table(timed))
        return
    from engine.bench import bench_wid, table

    found = bench_wid(arguments.case, arguments.repeats)
    print(json.dumps(found) if arguments.json else table(found))


if __name__ == "__main__":
    sys.exit(main())
