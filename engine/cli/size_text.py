"""The answers of the verb size as text for people."""

from __future__ import annotations

from typing import Any

from engine.settings.amounts import format_duration, format_number
from engine.sizing.memory.state import OPTIMIZER_LABELS
from engine.sizing.shape import Shape

MEMORY_PARTS = {  # of a step at its fullest moment: heading -> name in the answer
    "weights": "weights",
    "optimizer": "optimizer",
    "gradients": "gradients",
    "activations": "activations",
    "copies": "copies",
    "moment only": "moment",
}
TENSORS_HEAD = f"{'tensor':32} {'formula':>20} {'in one':>15} {'stored':>6} {'runs':>5} {'total':>15}"


def as_text(answer: dict[str, Any]) -> str:
    """The answer of the verb, as its --json prints it, as lines for people."""
    models = answer.get("models", [answer])
    lines = _comparison(models) if len(models) > 1 else _one(answer)
    for model in models:
        lines += _details(model, len(models) > 1)
    if "found" in answer:
        lines += _found(answer)
    if "sweep" in answer:
        lines += _sweep(answer["sweep"])
    for model, verdict in zip(models, answer.get("verified", ()), strict=False):
        agree = "equal" if verdict["equal"] else "DIFFERENT"
        unread = f", {verdict['unread']:,} of them in a decoder bias that is never read" if verdict["unread"] else ""
        built = f"{verdict['built']} has {verdict['counted']:,} parameters{unread}"
        lines.append(f"verified: {model['name']}: {verdict['computed']:,} by formula; {built}: {agree}")
    if "this_machine" in answer:
        lines += _machine(answer["this_machine"])
    return "\n".join(lines)


def _one(answer: dict[str, Any]) -> list[str]:
    shape = Shape.from_json(answer["shape"])
    lines = [str(shape)]
    for part, count in [*answer["parts"].items(), ("total", answer["parameters"])]:
        lines.append(f"{part:>12} {count:>15,}")
    if answer["executed"] != answer["parameters"]:
        lines.append(
            f"{'executed':>12} {answer['executed']:>15,}  shared layers and a tied decoder as often as they run"
        )
    lines += [_bytes(answer), _work(answer)]
    return lines + [f"paper says {said['parameters']}: {said['source']}" for said in answer["paper_says"]]


def _comparison(models: list[dict[str, Any]]) -> list[str]:
    """A column a model, the first being the teacher."""
    wide = max(16, *(len(model["name"]) + 2 for model in models))
    lines = [f"{'':>12}" + "".join(f"{model['name']:>{wide}}" for model in models)]
    for part in models[0]["parts"]:
        lines.append(f"{part:>12}" + "".join(f"{model['parts'][part]:>{wide},}" for model in models))
    lines.append(f"{'total':>12}" + "".join(f"{model['parameters']:>{wide},}" for model in models))
    lines.append(f"{'executed':>12}" + "".join(f"{model['executed']:>{wide},}" for model in models))
    full = models[0]["parameters"]
    lines.append(f"{'compression':>12}" + "".join(f"{full / model['parameters']:>{wide - 1}.2f}x" for model in models))
    for precision in models[0]["bytes"]:
        sizes = (format_number(model["bytes"][precision], "B") for model in models)
        lines.append(f"{precision:>12}" + "".join(f"{size:>{wide}}" for size in sizes))
    for model in models:
        lines.append(f"{model['name']}: {Shape.from_json(model['shape'])}")
        lines += [f"  paper says {said['parameters']}: {said['source']}" for said in model["paper_says"]]
    return lines


def _bytes(answer: dict[str, Any]) -> str:
    sizes = ", ".join(f"{format_number(size, 'B')} in {precision}" for precision, size in answer["bytes"].items())
    return f"{sizes} (weights only, no quantisation scales)"


def _work(answer: dict[str, Any]) -> str:
    name = next(name for name in answer if name.startswith("multiply_adds_"))
    tokens = int(name.split("_")[2])
    return f"{answer[name] / 1e6:,.0f}M multiply-adds for {tokens:,} tokens"


def _details(model: dict[str, Any], named: bool) -> list[str]:
    lines = []
    title = f" of {model['name']}" if named else ""
    if "tensors" in model:
        lines += [
            f"tensors{title}",
            TENSORS_HEAD,
        ]
        for entry in model["tensors"]:
            sizes = f"{entry['count']:>15,} {entry['stored']:>6,} {entry['executed']:>5,} {entry['parameters']:>15,}"
            lines.append(f"{entry['name']:32} {entry['formula']:>20} {sizes}")
    if "formula" in model:
        lines.append(f"formula{title}")
        for term in model["formula"]:
            lines.append(f"  {term['part']}: {term['symbols']} = {term['numbers']} = {term['value']:,}")
    if "cost" in model:
        cost = model["cost"]
        lines.append(
            f"running{title}: {format_number(cost['flops'], 'FLOP')} for a sequence of {cost['tokens']:,} tokens, "
            f"{format_number(cost['flops_a_token'], 'FLOP')} a token; "
            f"attention scores {cost['flops_by_part']['attention scores'] / cost['flops']:.1%} of it"
        )
        lines += [*_layer_work(cost["flops_a_layer"]), *_running_memory(cost["inference"])]
        lines += _training(cost["training"], cost["tokens"], title)
        if "latency_bound" in cost:
            least = cost["latency_bound"]
            lines.append(
                f"at least {format_duration(least['seconds'])} a sequence on {least['device']} in "
                f"{least['precision']}, for its {least['limit']} ({least['source']})"
            )
    return lines


def _layer_work(layers: list[dict[str, int]]) -> list[str]:
    """One line where all layers are alike; otherwise the most and the least."""
    totals = [sum(layer.values()) for layer in layers]
    if len(set(totals)) > 1:
        least, most = (format_number(size, "FLOP") for size in (min(totals), max(totals)))
        return [f"  a layer: {least} to {most}"]
    parts = ", ".join(f"{part} {format_number(work, 'FLOP')}" for part, work in layers[0].items())
    return [f"  a layer: {format_number(totals[0], 'FLOP')} ({parts})"]


def _running_memory(rows: list[dict[str, Any]]) -> list[str]:
    lines = [f"memory while running, weights in {rows[0]['precision']}: {format_number(rows[0]['weights'], 'B')}, and"]
    for name in dict.fromkeys(_implementation(row) for row in rows):
        beside = (
            f"{format_number(row['beside'], 'B')} for {row['sequences']:,} sequence{'s' * (row['sequences'] > 1)}"
            for row in rows
            if _implementation(row) == name
        )
        lines.append(f"  {name:20} {', '.join(beside)}")
    return lines


def _implementation(row: dict[str, Any]) -> str:
    return "ours" if row["implementation"] == "ours" else f"transformers, {row['attention']}"


def _training(training: dict[str, Any], tokens: int, title: str) -> list[str]:
    """What a step computes and holds: a row an implementation, at its fullest moment."""
    how = [f"{training['sequences']:,} sequences of {tokens:,} tokens in {training['precision']}"]
    how.append(OPTIMIZER_LABELS[training["optimizer"]])
    how += ["every layer checkpointed"] if training["checkpointing"] else []
    how += [f"in {training['micro_batches']:,} micro-batches"] if training["micro_batches"] > 1 else []
    if training["devices"] > 1:
        how.append(f"on each of {training['devices']:,} devices")
        how.append(f"ZeRO stage {training['zero']} ({training['sharded']} cut up)")
    lines = [f"training{title}: {', '.join(how)}; {format_number(training['flops_a_step'], 'FLOP')} a step"]
    lines.append(f"  {'at its fullest moment':26}" + "".join(f"{part:>12}" for part in MEMORY_PARTS) + f"{'peak':>10}")
    for row in training["peaks"]:
        name = f"{row['device'].upper()}: {_implementation(row)}"
        sizes = "".join(f"{format_number(row[key], 'B'):>12}" for key in MEMORY_PARTS.values())
        lines.append(f"  {name:26}{sizes}{format_number(row['peak'], 'B'):>10}  {row['when']}")
    held = [row for row in training["peaks"] if "peak_while_output_is_held" in row]
    if held:
        more = max(row["peak_while_output_is_held"] - row["peak"] for row in held)
        lines.append(f"  up to {format_number(more, 'B')} more while a program holds transformers' output")
    if training["no_transformers_class"]:
        lines.append(f"  ours alone: {training['no_transformers_class']}")
    lines.append("  moment only: logits, gradients of activations and the like; not counted: the process, libraries,")
    lines.append("  workspaces. CPU rows are held to torch's own record, GPU rows follow torch's rules")
    return lines


def _found(answer: dict[str, Any]) -> list[str]:
    budget = answer["budget"]

    def amount(cost: float) -> str:
        if budget["kind"] == "latency":
            return format_duration(cost)
        if budget["kind"] == "parameters":
            return f"{cost:,.0f}"
        return format_number(cost, "B" if budget["kind"] == "bytes" else "FLOP")

    kept = ", ".join(budget["kept"]) or "nothing"
    lines = [f"shapes near {amount(budget['amount'])} {budget['kind']}, kept: {kept}"]
    for one in answer["found"]:
        lines.append(f"{amount(one['cost']):>16} {one['off']:>+8.1%}  {Shape.from_json(one['shape'])}")
    widest = ", ".join(f"{one['layers']} x {one['hidden']:,}" for one in answer["front"])
    return [*lines, f"widest at each depth: {widest or 'none fits'}"]


def _sweep(sweep: dict[str, Any]) -> list[str]:
    lines = [f"parameters by {sweep['field']}"]
    for value, count in zip(sweep["values"], sweep["counts"], strict=True):
        shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
        lines.append(f"{shown:>12} {count:>15,}{'  now' if value == sweep['now'] else ''}")
    if sweep["crossing"] is not None:
        pays = f"pays up to E = {sweep['crossing']:,}" if sweep["crossing"] else "never pays here"
        lines.append(f"factorising {pays}; without it {sweep['whole']:,}")
    return lines


def _machine(rates: dict[str, Any]) -> list[str]:
    return [
        f"{rates['device']}: {format_number(rates['float32'], 'FLOP/s')} in float32, "
        f"{format_number(rates['bfloat16'], 'FLOP/s')} in bfloat16, {format_number(rates['bandwidth'], 'B/s')} of "
        "memory",
        f"a training step of {rates['step_model']} runs at {format_number(rates['step'], 'FLOP/s')}; at that rate "
        f"{rates['steps']:,} steps take about {format_duration(rates['training_seconds'])}",
    ]
