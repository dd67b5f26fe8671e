"""The verb size: the calculator in a terminal. Only --verify and --measure load torch, in a process of their own."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from engine.cli.arguments import add_flags, add_runs_folder
from engine.cli.notes import say
from engine.cli.size_cost import add_cost_arguments, check_cost_choices, find_cost
from engine.cli.size_models import NamedShape, add_models, find_models
from engine.sizing.shape import FAMILIES, SHARINGS, Shape

NUMBERS = {
    "layers": "layers",
    "hidden": "width of the residual stream",
    "heads": "attention heads",
    "head_dim": "dims of a head (default: hidden / heads)",
    "ffn": "width of the feed-forward network (default: 4 x hidden)",
    "vocab": "words in the vocabulary",
    "positions": "longest sequence",
    "token_types": "token types; 0: none",
    "embedding": "embedding width, below hidden for factorised embeddings",
    "groups": "groups of layers that share",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the verb, in three groups: which model, more answers, and shapes for a budget."""
    from engine.sizing.footprint import PRECISIONS
    from engine.sizing.roofline import ACCELERATORS
    from engine.sizing.solver import BUDGET_KINDS, DEFAULT_KEPT

    which = parser.add_argument_group("which model")
    add_models(which)
    add_runs_folder(parser)
    which.add_argument("--presets", action="store_true", help="list the presets and stop")
    which.add_argument("--link", metavar="URL", help="the comparison of a page's link")
    add_flags(which, int, NUMBERS)
    which.add_argument("--family", help=_one_of(FAMILIES))
    which.add_argument("--sharing", help=f"what layers share: {_one_of(SHARINGS)}")
    which.add_argument("--pooler", action="store_true", help="count the pooler")
    which.add_argument("--no-mlm-head", action="store_true", help="leave out the masked-LM head")
    which.add_argument("--pair-head", action="store_true", help="count the sentence-order head and its pooler")
    which.add_argument("--untied", action="store_true", help="give the masked-LM decoder a table of its own")
    which.add_argument("--wid", type=int, metavar="WIDTH", help="the WID student of this width, beside its teacher")
    which.add_argument("--strategy", default="dim", help="of --wid: dim narrows every head, head drops whole ones")

    more = parser.add_argument_group("more answers")
    more.add_argument("--tensors", action="store_true", help="every tensor: name, formula, count")
    more.add_argument("--formula", action="store_true", help="the count as a formula, in LaTeX")
    more.add_argument("--csv", action="store_true", help="every tensor of every model as CSV")
    more.add_argument("--cost", action="store_true", help="what it costs to run and to train")
    more.add_argument("--tokens", type=int, default=128, help="tokens of a sequence (default: 128)")
    more.add_argument("--batch", type=int, default=32, help="sequences of a training step (default: 32)")
    more.add_argument("--steps", type=int, default=100_000, help="training steps, for --measure (default: 100,000)")
    more.add_argument("--precision", default="float32", help=f"{_one_of(PRECISIONS)} (default: float32)")
    add_cost_arguments(more)
    more.add_argument("--device", help=f"a card for the latency bound: {_one_of(ACCELERATORS)}")
    more.add_argument("--verify", action="store_true", help="build the models without weights and count their tensors")
    more.add_argument("--measure", action="store_true", help="measure this machine's rates; takes a few seconds")

    back = parser.add_argument_group("backwards")
    back.add_argument("--budget", metavar="AMOUNT", help="find shapes that cost this: 55M, 110MB, 22G, 1.5ms")
    back.add_argument("--of", default="parameters", help=f"what the budget is of: {_one_of(BUDGET_KINDS)}")
    back.add_argument("--keep", metavar="NAMES", help=f"what stays, with commas (default: {','.join(DEFAULT_KEPT)})")
    back.add_argument("--most", type=int, default=12, help="shapes to list (default: 12)")
    back.add_argument("--sweep", metavar="NAME", help="the count while one control moves, such as embedding")


def _one_of(names: Iterable[str]) -> str:
    """The names as one writes a choice: a, b or c."""
    *first, last = names
    return f"{', '.join(first)} or {last}"


def run(arguments: argparse.Namespace) -> None:
    """Prints the answer as JSON, as text or as CSV.

    Raises:
        ValueError: the shape, the budget or anything else does not fit.
    """
    _check_choices(arguments)
    if arguments.presets:
        _print_presets(arguments.json)
        return
    named = _models(arguments)
    models, notes = [(one.name, one.shape) for one in named], [note for one in named for note in one.notes]
    _, shape = models[-1]
    say(notes)
    if arguments.csv:
        from engine.sizing.comparison_export import to_csv

        print(to_csv(models), end="")
        return
    answer = _answer(models[-1], arguments)
    if notes:
        answer["notes"] = notes
    if len(models) > 1:
        answer["models"] = [_answer(model, arguments) for model in models]
    if arguments.budget:
        answer |= _shapes_for_budget(shape, arguments)
    if arguments.sweep:
        answer["sweep"] = _sweep(shape, arguments.sweep)
    if arguments.verify or arguments.measure:
        answer |= _verify_and_measure(models, arguments)
    if arguments.json:
        print(json.dumps(answer))
        return
    from engine.cli.size_text import as_text

    print(as_text(answer))


def _check_choices(arguments: argparse.Namespace) -> None:
    """Refuses a word that is no choice, also where the answer would not have needed it.

    Raises:
        ValueError: which flag, what there is, what came.
    """
    from engine.sizing.footprint import PRECISIONS
    from engine.sizing.roofline import find_accelerator
    from engine.sizing.solver import BUDGET_KINDS
    from engine.sizing.wid_cost import STRATEGIES

    known: dict[str, Iterable[str]] = {"precision": PRECISIONS, "of": BUDGET_KINDS, "strategy": STRATEGIES}
    for name, choices in known.items():
        value = getattr(arguments, name)
        if value is not None and value not in choices:
            raise ValueError(f"--{name} must be one of {', '.join(choices)}, got {value[:60]!r}.")
    if arguments.device is not None:
        find_accelerator(arguments.device)
    check_cost_choices(arguments)


def _models(arguments: argparse.Namespace) -> list[NamedShape]:
    """Every model asked for; options change the last one."""
    from engine.sizing.comparison import MAX_CONFIGURATIONS, edit_field, editable_fields
    from engine.sizing.comparison_link import from_link
    from engine.sizing.shape import COMPRESSION_FIELDS, ShapeError

    asked = arguments.models
    models = []
    if arguments.link:
        comparison, problems = from_link(parse_qs(urlsplit(arguments.link).query, max_num_fields=100))
        if problems:
            raise ShapeError(problems)
        models = [NamedShape(one.name, one.shape) for one in comparison.configurations]
    if len(models) + len(asked) > MAX_CONFIGURATIONS:
        raise ShapeError([f"At most {MAX_CONFIGURATIONS} models stand side by side, got {len(models) + len(asked)}."])
    models += find_models(asked or ([] if models else [("preset", "bert-base")]), arguments.runs)
    last = models[-1]
    fields = unchanged = editable_fields(last.shape)
    for change in [*NUMBERS, "family", "sharing"]:
        if getattr(arguments, change) is not None:
            fields = edit_field(fields, change, getattr(arguments, change))
    fields = dict(fields)
    if arguments.pooler or arguments.pair_head:
        fields["pooler"] = True
    fields["pair_head"] = fields["pair_head"] or arguments.pair_head
    fields["mlm_head"] = fields["mlm_head"] and not arguments.no_mlm_head
    fields["tied"] = fields["tied"] and not arguments.untied
    if fields != unchanged:
        kept = {name: getattr(last.shape, name) for name in ("norm_eps", *COMPRESSION_FIELDS)}
        changed = Shape(**fields, **kept)
        if changed != last.shape:
            name = f"{last.name}, changed" if asked or arguments.link else last.name
            models[-1] = NamedShape(name, changed, last.notes)
    if arguments.wid is not None:
        from engine.sizing.wid_cost import wid_student

        student = wid_student(models[-1].shape, arguments.wid, arguments.strategy)
        models.append(NamedShape(f"WID student, {arguments.wid} wide", student))
    return models


def _answer(model: tuple[str, Shape], arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything about one model, as plain values."""
    from engine.sizing.cost import multiply_adds, parameters, parameters_by_part
    from engine.sizing.footprint import PRECISIONS, executed_by_part, stored_bytes
    from engine.sizing.presets import published_counts
    from engine.sizing.tensors import tensor_kinds

    name, shape = model
    tokens = min(arguments.tokens, shape.positions) if arguments.tokens == 128 else arguments.tokens
    answer: dict[str, Any] = {
        "name": name,
        "shape": shape.to_json(),
        "parameters": parameters(shape),
        "parts": parameters_by_part(shape),
        "executed": sum(executed_by_part(shape).values()),
        "bytes": {precision: stored_bytes(shape, precision) for precision in PRECISIONS},
        "bytes_float32": stored_bytes(shape, "float32"),
        f"multiply_adds_{tokens}_tokens": multiply_adds(shape, tokens),
        "paper_says": [{"parameters": said.parameters, "source": said.source} for said in published_counts(shape)],
    }
    if arguments.tensors:
        answer["tensors"] = [vars(entry) | {"parameters": entry.parameters} for entry in tensor_kinds(shape)]
    if arguments.formula:
        from engine.sizing.formula import formula_terms

        answer["formula"] = [vars(term) for term in formula_terms(shape)]
    if arguments.cost or arguments.device or arguments.measure:
        answer["cost"] = find_cost(shape, tokens, arguments)
    return answer


def _shapes_for_budget(shape: Shape, arguments: argparse.Namespace) -> dict[str, Any]:
    from engine.settings.amounts import parse_amount
    from engine.sizing.roofline import find_accelerator
    from engine.sizing.solver import BUDGET_KINDS, DEFAULT_KEPT, SizeBudget, find_shapes, widest_by_depth

    if arguments.of not in BUDGET_KINDS:
        raise ValueError(f"--of must be one of {', '.join(BUDGET_KINDS)}, got {arguments.of!r}.")
    if not 1 <= arguments.most <= 100:
        raise ValueError(f"--most must be between 1 and 100, got {arguments.most:,}.")
    device = find_accelerator(arguments.device) if arguments.device else None
    tokens = min(arguments.tokens, shape.positions)
    budget = SizeBudget(arguments.of, parse_amount(arguments.budget, arguments.of), arguments.precision, tokens, device)
    keep = DEFAULT_KEPT if arguments.keep is None else tuple(filter(None, arguments.keep.replace(" ", "").split(",")))
    found = find_shapes(shape, budget, keep, arguments.most)
    return {
        "budget": {"kind": budget.kind, "amount": budget.amount, "kept": list(keep)},
        "found": [{"shape": one.shape.to_json(), "cost": one.cost, "off": one.relative_error} for one in found],
        "front": [
            {"layers": one.shape.layers, "hidden": one.shape.hidden, "cost": one.cost}
            for one in widest_by_depth(shape, budget, keep)
        ],
    }


def _sweep(shape: Shape, name: str) -> dict[str, Any]:
    from engine.sizing.comparison import editable_fields
    from engine.sizing.sweep import sweep

    return vars(sweep(editable_fields(shape), name.replace("-", "_")))


def _verify_and_measure(models: list[tuple[str, Shape]], arguments: argparse.Namespace) -> dict[str, Any]:
    """What a process with torch builds and counts, or measures; progress on stderr."""
    from engine.settings.torch_subprocess import ask

    def progress(share: float, doing: str) -> None:
        print(f"{share:4.0%} {doing}", file=sys.stderr)

    found: dict[str, Any] = {}
    if arguments.verify:
        question = {"shapes": [shape.to_json() for _, shape in models]}
        found["verified"] = ask("engine.model.count_check", question, progress)["verdicts"]
    if arguments.measure:
        from engine.sizing.footprint import TrainingBatch
        from engine.sizing.roofline import training_seconds

        rates = ask("engine.benches.machine_rate", {}, progress)
        if not 1 <= arguments.steps <= 10**12:
            raise ValueError(f"--steps must be between 1 and {10**12:,}, got {arguments.steps:,}.")
        shape = models[-1][1]
        batch = TrainingBatch(arguments.batch, min(arguments.tokens, shape.positions), rates["step_precision"])
        seconds = training_seconds(shape, batch, arguments.steps, rates["step"])
        found["this_machine"] = rates | {"steps": arguments.steps, "training_seconds": seconds}
    return found


def _print_presets(as_json: bool) -> None:
    from engine.sizing.cost import parameters
    from engine.sizing.presets import PRESETS

    if as_json:
        print(
            json.dumps(
                {name: one.shape.to_json() | {"parameters": parameters(one.shape)} for name, one in PRESETS.items()}
            )
        )
        return
    for name, preset in PRESETS.items():
        print(f"{name:16} {parameters(preset.shape):>13,}  {preset.label}: {preset.shape}")
