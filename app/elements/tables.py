"""Tables as plain HTML: readable by every device and screen reader, and there before any table library has loaded."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from app.elements.theme import Theme

Row = Sequence[str]


def html_table(head: Row, rows: Sequence[Row], colours: Theme, caption: str = "", bold: Sequence[int] = ()) -> str:
    """An HTML table; the first column is text, all others stand to the right. `bold`: rows that are totals.

    All cells are taken for text, never for HTML. A table wider than the screen scrolls inside its own box.
    """
    cell_style = f"padding:.2rem .55rem;border-bottom:1px solid {colours.grid};text-align:right;white-space:nowrap"
    first_style = cell_style.replace("text-align:right;white-space:nowrap", "text-align:left;min-width:6.5rem")
    titles = "".join(
        f'<th scope="col" style="{cell_style if index else first_style};color:{colours.quiet};font-weight:600">'
        f"{escape(title)}</th>"
        for index, title in enumerate(head)
    )
    lines = []
    for number, row in enumerate(rows):
        weight = ";font-weight:650" if number in bold else ""
        tags = [
            f'<th scope="row" style="{first_style};font-weight:400{weight}">{escape(row[0])}</th>',
            *(f'<td style="{cell_style}{weight}">{escape(text)}</td>' for text in row[1:]),
        ]
        lines.append(f"<tr>{''.join(tags)}</tr>")
    caption_tag = (
        f'<caption style="text-align:left;color:{colours.quiet};padding-bottom:.3rem">{escape(caption)}</caption>'
        if caption
        else ""
    )
    return (
        '<div tabindex="0" style="overflow-x:auto">'
        f'<table style="border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums;'
        f'color:{colours.ink}">{caption_tag}<thead><tr>{titles}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    )
