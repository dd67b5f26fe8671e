"""The verb attention: where each head of a model looks in a sentence."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli.arguments import add_runs_folder
from engine.cli.notes import notes_of, say
from engine.cli.report import write_page

if TYPE_CHECKING:
    from engine.inspection.probe import Probe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the verb."""
    add_runs_folder(parser)
    parser.add_argument("model", help="a teacher's name or a run's id")
    parser.add_argument("text", help="the sentence")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page of all of it, its teacher beside")


def run(arguments: argparse.Namespace) -> None:
    """Prints one line a head, the whole attention as JSON, or writes it as a page.

    Raises:
        ValueError: there is no such model, the sentence has no words, or the page cannot be written.
    """
    from engine.inspection.probe import probe
    from engine.teachers.catalog import open_model

    model = open_model(arguments.model, arguments.runs)
    seen = probe(model.bert.eval(), model.tokenizer, arguments.text)
    notes = notes_of(model)
    if seen.cut:
        left = len(seen.tokens)
        notes.append(f"The sentence is too long: its last {seen.cut:,} tokens were cut, {left} are shown.")
    say(notes)
    if arguments.html:
        from engine.reports.run_report import model_attention_page

        page = model_attention_page(model, seen, arguments.text, arguments.runs)
        write_page(arguments.html, page, arguments.json)
    elif arguments.json:
        found = {"tokens": seen.tokens, "attentions": seen.attentions.round(4).tolist(), "unknown": seen.unknown}
        print(json.dumps({**found, "cut": seen.cut, "notes": notes}))
    else:
        print("\n".join(_strongest_links(seen)))


def _strongest_links(seen: Probe) -> list[str]:
    """A line a head: the two words between which it has most attention."""
    lines = []
    for layer, heads in enumerate(seen.attentions, start=1):
        for head, grid in enumerate(heads[: seen.heads[layer - 1]], start=1):
            inner = grid[1:-1, 1:-1]  # attention to [CLS] and [SEP] says little
            source, target = divmod(int(inner.argmax()), inner.shape[1])
            words = f"{seen.tokens[source + 1]} -> {seen.tokens[target + 1]}"
            lines.append(f"layer {layer} head {head}: {words}  {inner[source, target]:.0%}")
    return lines
