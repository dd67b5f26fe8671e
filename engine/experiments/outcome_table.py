"""An experiment's outcome as a table for people: cells for a page, or markdown. Knows no screen and no torch."""

from __future__ import annotations

from engine.experiments.grid import MEASURES, PROBE_TASKS
from engine.experiments.outcome import Outcome, RowOutcome, Summary


def percent(one: Summary | None, signed: bool = False) -> str:
    """A share as percent with its 95% interval; empty for None. A difference is `signed` and in points."""
    if one is None:
        return ""
    value = f"{100 * one.mean:+.1f}" if signed else f"{100 * one.mean:.1f}"
    return (value if float(value) else f"{0:.1f}") + ("" if one.interval is None else f" ± {100 * one.interval:.1f}")


def measured_names(found: Outcome) -> list[str]:
    """The measures that some row has, in the outcome's order."""
    return [name for name in found.measures if any(name in row.measured for row in found.rows)]


def table_cells(found: Outcome, differences: bool = True) -> tuple[list[str], list[list[str]]]:
    """(head, rows): a label, parameters, each measure in percent, each difference in points, the paper's score."""
    measures, paper = measured_names(found), any(row.paper is not None for row in found.rows)
    different = [name for name in measures if differences and any(name in row.differences for row in found.rows)]
    head = ["", "parameters", *(f"{MEASURES.get(name, name)}, %" for name in measures)]
    head += [f"{MEASURES.get(name, name)}, points apart" for name in different]
    with_paper_parameters = any(row.paper_parameters for row in found.rows)
    if paper:
        head += ["paper's parameters"] * with_paper_parameters
        head += ["paper's score"] + ["paper's, points apart"] * differences
    rows = []
    for row in found.rows:
        line = [full_label(row), f"{row.parameters:,}", *(percent(row.measured.get(name)) for name in measures)]
        line += [percent(row.differences.get(name), signed=True) for name in different]
        if paper:
            apart = paper_difference(found, row)
            line += [row.paper_parameters] * with_paper_parameters
            line += ["" if row.paper is None else f"{row.paper:.1f}"]
            line += ["" if apart is None else f"{apart:+.1f}"] * differences
        rows.append(line)
    return head, rows


def full_label(row: RowOutcome) -> str:
    """The row's label with its series, where it has one."""
    return f"{row.series}: {row.label}" if row.series else row.label


def paper_difference(found: Outcome, row: RowOutcome) -> float | None:
    """The paper's score of `row` minus that of the row it is compared with; None where there is none."""
    base = found.row(row.base) if row.base else None
    if row.paper is None or base is None or base.paper is None:
        return None
    return row.paper - base.paper


def nulls_line(found: Outcome) -> str:
    """What one gets without having learned, in a sentence; empty where nothing is known."""
    shares = [
        f"{MEASURES.get(name, name)} {100 * value:.1f}%"
        for name, value in found.nulls.items()
        if name in found.measures
    ]
    return f"Nulls: {'; '.join(shares)}." if shares else ""


def probe_line(found: Outcome) -> str:
    """How tasks were scored, where that was a linear probe; titles of fine-tuned ones say so themselves."""
    tasks = [MEASURES[name] for name in PROBE_TASKS if name in found.measures]
    if not tasks or "fine-tuned" in found.title:
        return ""
    return f"{' and '.join(tasks).capitalize()}: a linear probe on frozen states."


def outcome_markdown(found: Outcome) -> str:
    """The outcome in markdown: what it is, its table, its nulls and notes."""
    head, rows = table_cells(found)
    lines = [found.about, "", f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 1)]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    lines += ["", "± is half the 95% interval of the mean over seeds. Points apart: from the row compared with."]
    notes = [f"{row.label}: {row.note}" for row in found.rows if row.note]
    return "\n".join([*lines, *filter(None, [nulls_line(found), probe_line(found), found.paper]), *notes])
