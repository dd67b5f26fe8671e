"""The command line: python -m engine size | train | runs | attention | report | inheritance | evaluate | export ...

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

from engine.cli import size as size_command
from engine.settings.budget import BUDGET_EXAMPLES
from engine.settings.project import EXPERIMENTS

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
        "teacher": "microworld, minilm, minilm-early, minilm-original, blank, hub:ID, local:FOLDER or run:ID",
        "method": "wid, scratch, soft_targets, distilbert, tinybert, minilm, minilmv2, pkd, albert, adapt; "
        "head_pruning, ffn_pruning, low_rank, magnitude, int8; no MobileBERT",
        "corpus": "microworld, nltk:NAME[+NAME...], file:PATH[#COLUMN] or hub:DATASET[:CONFIG]; default: the teacher's",
        "device": "auto, cuda, mps or cpu",
        "precision": "auto, float32 or bfloat16",
        "masking": "token, word or ngram: what is hidden together",
    }.items():
        train.add_argument(f"--{name}", help=help)
    for name, help in {
        "layers": "student's layers (default: the teacher's)",
        "hidden": "student's width",
        "heads": "student's heads",
        "head-dim": "dims of a student's head",
        "ffn": "width of the student's feed-forward network (default: 4 x hidden)",
        "steps": "optimizer steps (default: 500; 0 for one-shot methods, whose steps only heal)",
        "batch": "sequences a step",
        "accumulate": "micro-batches that a step's batch is split into, to save memory (default: 1)",
        "processes": "processes on this machine that share every batch, one a GPU (default: 1)",
        "length": "longest sequence, in tokens",
        "seed": "fixes initial weights, data order and masks",
        "evaluations": "how often held-out text is scored",
        "checkpoints": "how often the state is saved",
    }.items():
        train.add_argument(f"--{name}", type=int, help=help)
    train.add_argument("--budget", metavar="AMOUNT", help=f"instead of --steps: {BUDGET_EXAMPLES}")
    train.add_argument("--mask-share", type=float, help="share of the tokens that training hides (default: 0.15)")
    train.add_argument("--warmup", type=float, help="share of the steps with a rising learning rate (default: 0.05)")
    train.add_argument("--clip", type=float, help="largest gradient norm (default: 1)")
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
    attention.add_argument("--html", type=Path, metavar="FILE", help="write a page of all of it, its teacher beside")

    report = verb("report", _report, "Write a run as one HTML page: its card, curves, attention and layers.")
    runs_option(report)
    report.add_argument("run", help="a run's id")
    report.add_argument("--text", default="", help="the sentence to look at (default: the teacher's example)")
    report.add_argument("--html", type=Path, metavar="FILE", help="the file to write (default: RUN.html)")

    inheritance = verb("inheritance", _inheritance, "How much of its teacher's attention a student has, beside nulls.")
    runs_option(inheritance)
    inheritance.add_argument("model", help="a run's id, or a teacher's name")
    inheritance.add_argument("--against", metavar="TEACHER", help="compare with this teacher (default: its own)")
    inheritance.add_argument("--sentences", type=int, default=64, help="held-out sentences (default: 64)")
    inheritance.add_argument("--corpus", default="auto", help="the text (default: the student's own)")
    inheritance.add_argument("--file", type=Path, metavar="FILE", help="your own sentences instead, one a line")
    inheritance.add_argument("--keep-special", action="store_true", help="count [CLS] and [SEP], too")

    evaluate = verb("evaluate", _evaluate, "Score a model on held-out text, or on a labelled task.")
    runs_option(evaluate)
    evaluate.add_argument("model", help="a teacher's name or a run's id")
    evaluate.add_argument("--against", metavar="TEACHER", help="the model to be compared with (default: its teacher)")
    evaluate.add_argument(
        "--task", help="fine-tune and score on this task: sentence_polarity, subjectivity, qc, rte, ..."
    )
    evaluate.add_argument("--probe", action="store_true", help="a linear layer on frozen features instead: quick")
    evaluate.add_argument("--seeds", type=int, default=3, help="how many times the task is learned (default: 3)")
    evaluate.add_argument("--epochs", type=int, help="how often the training set is seen")
    evaluate.add_argument("--lr", type=float, help="peak learning rate of fine-tuning")
    evaluate.add_argument("--limit", type=int, default=0, help="at most so many examples of each split (default: all)")
    evaluate.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
    evaluate.add_argument("--precision", default="auto", help="auto, float32 or bfloat16")
    evaluate.add_argument("--corpus", default="auto", help="the text (default: the model's own)")
    evaluate.add_argument("--rows", type=int, default=512, help="held-out rows to score (default: 512)")

    export = verb("export", _export, "Write a run's student as a folder that transformers loads.")
    runs_option(export)
    export.add_argument("run", help="a run's id, or its folder")
    export.add_argument("folder", type=Path, help="a new folder")
    export.add_argument("--adapter", action="store_true", help="only what an adaptation learned, small enough to ship")
    export.add_argument("--corpus", default="", help="what an adapter is scored on, if not on what it learned from")
    export.add_argument("--length", type=int, default=0, help="tokens in a row of that, if not as it learned")

    recipe = verb("recipe", _recipe, "Do a whole experiment, with seeds and intervals; nothing is done twice.")
    runs_option(recipe)
    recipe.add_argument(
        "name",
        help="family (every method, one budget), albert-sharing, albert-embedding, albert-sentence-order (the paper's "
        "tables, small), each also as NAME-english; paper-small, or microworld-small",
    )
    recipe.add_argument(
        "--save",
        nargs="?",
        type=Path,
        const=EXPERIMENTS,
        metavar="DIR",
        help="write what came out into this folder, too (default: assets/experiments)",
    )
    for name, help in {
        "teacher": "another teacher",
        "corpus": "another text",
        "tasks": "other tasks: NAME,NAME",
    }.items():
        recipe.add_argument(f"--{name}", help=help)
    for name in ("steps", "batch", "seeds", "epochs", "limit"):
        recipe.add_argument(f"--{name}", type=int, help=f"other {name} than the recipe's")
    recipe.add_argument("--lr", type=float, help="another peak learning rate of fine-tuning")
    recipe.add_argument("--precision", help="auto, float32 or bfloat16")
    recipe.add_argument("--probe", action="store_true", help="a linear probe instead of fine-tuning")

    bench = verb("bench", _bench, "Measure speed and memory on this machine.")
    bench.add_argument(
        "what",
        choices=["wid", "methods", "int8", "size", "examine"],
        help="wid: its steps; methods: a step of each; int8: at which width it pays; or a page",
    )
    bench.add_argument(
        "--case",
        default="cpu",
        help="wid: cpu, 6x384 to 6x192, or gpu, 12x768 to 12x192 and 12x516; methods: cpu, or cuda, 12x768 to 12x384; "
        "int8: cpu or cuda",
    )
    bench.add_argument(
        "--repeats",
        type=int,
        help="steps of each kind, interleaved (default: 7); methods: rounds of 5 steps (3); int8: passes (21)",
    )
    return parser


def _train(arguments: argparse.Namespace) -> int:
    from engine.cli.train import train

    return train(arguments)


def _runs(arguments: argparse.Namespace) -> None:
    from engine.storage import runs
    from engine.training import job

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


def _attention(arguments: argparse.Namespace) -> None:
    from engine.inspection.probe import probe
    from engine.teachers.catalog import open_model

    model = open_model(arguments.model, arguments.runs)
    seen = probe(model.bert.eval(), model.tokenizer, arguments.text)
    if arguments.html:
        from engine.reports.html_page import write
        from engine.reports.run_report import attention_html

        write(arguments.html, attention_html(model, seen, arguments.text, arguments.runs))
        print(json.dumps({"html": str(arguments.html)}) if arguments.json else f"written to {arguments.html}")
        return
    if arguments.json:
        print(
            json.dumps(
                {"tokens": seen.tokens, "attentions": seen.attentions.round(4).tolist(), "unknown": seen.unknown}
            )
        )
        return
    for layer, heads in enumerate(seen.attentions, start=1):
        for head, grid in enumerate(heads[: seen.heads[layer - 1]], start=1):
            inner = grid[1:-1, 1:-1]  # attention to [CLS] and [SEP] says little
            source, target = divmod(int(inner.argmax()), inner.shape[1])
            words = f"{seen.tokens[source + 1]} -> {seen.tokens[target + 1]}"
            print(f"layer {layer} head {head}: {words}  {inner[source, target]:.0%}")


def _inheritance(arguments: argparse.Namespace) -> None:
    from engine.cli.inheritance import inheritance

    inheritance(arguments)


def _report(arguments: argparse.Namespace) -> None:
    from engine.reports.html_page import write
    from engine.reports.run_report import report
    from engine.storage.runs import open_run

    run = open_run(arguments.runs, arguments.run)
    path = arguments.html or Path(f"{run.id}.html")
    write(path, report(run, arguments.runs, arguments.text))
    print(json.dumps({"html": str(path)}) if arguments.json else f"written to {path}")


def _evaluate(arguments: argparse.Namespace) -> None:
    from engine.cli.evaluate import evaluate

    evaluate(arguments)


def _export(arguments: argparse.Namespace) -> None:
    from engine.model import saved_models as checkpoints
    from engine.storage import runs

    path = Path(arguments.run)
    run = (
        runs.open_run(path.absolute().parent, path.name)
        if path.is_dir()
        else runs.open_run(arguments.runs, arguments.run)
    )
    if arguments.adapter:
        from engine.teachers.adapter_export import export_adapter

        card = export_adapter(run, arguments.folder, arguments.corpus, arguments.length)
        print(json.dumps(card, indent=None if arguments.json else 1))
        return
    student = checkpoints.load_model(run.student_dir)
    checkpoints.export_model(student, arguments.folder, checkpoints.load_lineage(run.student_dir))
    note = checkpoints.DEQUANTISED if 8 in (student.bert.shape.linear_bits, student.bert.shape.table_bits) else ""
    if arguments.json:
        print(json.dumps({"folder": str(arguments.folder), **({"note": note} if note else {})}))
    else:
        print(f"exported to {arguments.folder}", note, sep="\n" if note else "")


def _recipe(arguments: argparse.Namespace) -> None:
    from engine.cli.recipe import recipe

    recipe(arguments)


def _bench(arguments: argparse.Namespace) -> None:
    what, case, repeats = arguments.what, arguments.case, arguments.repeats
    if what == "size":
        from engine.benches import size as bench_size

        found, table = bench_size.bench_size(7 if repeats is None else repeats), bench_size.table
    elif what == "examine":
        from engine.benches import examine as bench_examine

        found, table = bench_examine.bench_examine(3 if repeats is None else repeats), bench_examine.table
    elif what == "methods":
        from engine.benches import methods as bench_methods

        found, table = bench_methods.bench_methods(case, 3 if repeats is None else repeats), bench_methods.table
    elif what == "int8":
        from engine.benches import int8 as bench_int8

        found, table = bench_int8.bench_int8(case, 21 if repeats is None else repeats), bench_int8.table
    else:
        from engine.benches import wid as bench

        found, table = bench.bench_wid(case, 7 if repeats is None else repeats), bench.table
    print(json.dumps(found) if arguments.json else table(found))


if __name__ == "__main__":
    sys.exit(main())
