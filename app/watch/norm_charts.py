"""Compactor norms, drawn: strips for a page that changes, a plotly heatmap to point at. Never imports streamlit.

One strip a group, however wide: its dims in the teacher's order share the same width. Lamps going out: a dim in the
student's colour is as it was at birth, a dark one is closed. One scale, 0 to 1.5, for all groups, steps and runs.
"""

from __future__ import annotations

import html

import numpy as np
import plotly.graph_objects as go

from app.elements.plotly_base import TOOLBAR_HEIGHT, apply_layout, escape_label
from app.elements.png import data_uri, palette, paletted_png
from app.elements.theme import Theme, mix
from app.watch.compactor_norms import INITIAL_NORM, CompactorNorms

TOP_LEVEL = 150  # the byte at the bright end of the scale
TOP_WHITENESS = 0.55  # how far that end is from the student's colour to white
LEAST_PIXELS = 1536  # of a strip's image: wider than it is shown, so that the browser averages rather than leaves out
BETWEEN_LAYERS = 0.3  # of a strip's height
MANY_STRIPS = 16  # strips; more are drawn thinner
SCALE_ROOM, COUNT_ROOM = 50, 72  # pixels for the scale and for the dims kept
SCALE_NAMES = ("closed", "as the teacher's", f"{TOP_LEVEL / INITIAL_NORM:g} ×")  # of 0, 1 and the bright end


def norm_scale(colours: Theme) -> list[tuple[float, str]]:
    """Stops of the scale from 0 to 1.5: (share of the way, colour)."""
    stops = []
    for byte in range(0, TOP_LEVEL + 1, 10):
        if byte <= INITIAL_NORM:
            colour = mix(colours.closed, colours.student, byte / INITIAL_NORM)
        else:
            colour = mix(colours.student, "#ffffff", TOP_WHITENESS * (byte - INITIAL_NORM) / (TOP_LEVEL - INITIAL_NORM))
        stops.append((byte / TOP_LEVEL, colour))
    return stops


def norm_strips(norms: CompactorNorms, colours: Theme) -> str:
    """HTML of one strip a group with its name and the dims it keeps, and the scale below.

    HTML because it is exchanged without flicker, fits any width and is set in the page's own type.
    """
    height, letters = (11, 0.72) if len(norms.groups) > MANY_STRIPS else (18, 0.8)  # pixels, rem
    levels, cells, before = palette(norm_scale(colours), TOP_LEVEL + 1), [], ""
    for group in norms.groups:
        gap = round(BETWEEN_LAYERS * height) if _begins_a_layer(before, group.kind) else 0
        name = html.escape(group.label)
        image = data_uri(_png(group.norms, levels))
        cells.append(
            f'<span style="margin-top:{gap}px;text-align:right">{name}</span>'
            f'<img src="{image}" decoding="sync" '
            f'alt="{name}: {group.kept} of {group.full} dims kept, {group.present} still in the matrices" '
            f'style="display:block;width:100%;height:{height}px;border-radius:2px;margin-top:{gap}px">'
            f'<span style="margin-top:{gap}px;text-align:right;font-variant-numeric:tabular-nums;'
            f'color:{colours.quiet}">{group.kept:,} / {group.full:,}</span>'
        )
        before = group.kind
    return (
        '<div style="display:grid;grid-template-columns:max-content minmax(0,1fr) max-content;gap:2px 10px;'
        f'align-items:center;font-size:{letters}rem;line-height:{height}px;white-space:nowrap">'
        f"{''.join(cells)}<span></span>{_legend(colours)}</div>"
    )


def norm_heatmap(norms: CompactorNorms, colours: Theme) -> go.Figure:
    """The strips as a heatmap that tells group, dim and norm of the place one points at."""
    many_strips = len(norms.groups) > MANY_STRIPS
    small = {"color": colours.quiet, "size": 12 if many_strips else 13}
    figure, middles, top, before = go.Figure(), [], 0.0, ""
    for group in norms.groups:
        top += BETWEEN_LAYERS if _begins_a_layer(before, group.kind) else 0.0
        bounds, name = group.bounds(), escape_label(group.label)
        one_each = len(group.norms) == group.full
        dims = "dim %{customdata[0]}" if one_each else "dims %{customdata[0]} to %{customdata[1]}"
        figure.add_heatmap(
            z=(group.norms[None] / INITIAL_NORM).astype(np.float32),
            x=np.append(bounds[:, 0] - 1, group.full) / group.full,
            y=[top + 0.05, top + 0.95],
            customdata=bounds[None].tolist(),
            coloraxis="coloraxis",
            hovertemplate=f"{name}, {dims}: norm %{{z:.2f}}<extra></extra>",
        )
        kept = f"{group.kept:,} / {group.full:,}"
        figure.add_annotation(
            text=kept, x=1, xref="paper", xanchor="right", xshift=COUNT_ROOM, y=top + 0.5, showarrow=False, font=small
        )
        middles.append(top + 0.5)
        top, before = top + 1.0, group.kind
    figure.update_xaxes(range=[0, 1], showticklabels=False, showgrid=False, zeroline=False)
    names = [escape_label(group.label) for group in norms.groups]
    figure.update_yaxes(tickvals=middles, ticktext=names, range=[top, 0], showgrid=False, zeroline=False)
    figure.update_yaxes(tickfont={"size": small["size"]})
    scale = {"cmin": 0, "cmax": TOP_LEVEL / INITIAL_NORM, "colorscale": norm_scale(colours)}
    scale["colorbar"] = {
        "orientation": "h",
        "thickness": 8,
        "outlinewidth": 0,
        "len": 0.95,  # so that its three names have room on a phone
        "tickangle": 0,
        "xpad": 0,
        "x": 0,
        "xanchor": "left",
        "y": 0,
        "yanchor": "top",
        "tickvals": [0, 1, TOP_LEVEL / INITIAL_NORM],
        "ticktext": SCALE_NAMES,
        "tickfont": small,
    }
    apply_layout(
        figure,
        colours,
        TOOLBAR_HEIGHT + SCALE_ROOM + round((13 if many_strips else 20) * top),
        dragmode=False,
        coloraxis=scale,
    )
    return figure.update_layout(margin={"l": 0, "r": COUNT_ROOM, "t": TOOLBAR_HEIGHT, "b": SCALE_ROOM})


def _begins_a_layer(before: str, kind: str) -> bool:
    """Whether a gap goes above a strip of `kind` that follows one of kind `before`."""
    return bool(before) and (kind != "ffn" or before != "attention")


def _legend(colours: Theme) -> str:
    """The scale with its three names; in the strips' own column."""
    stops = ",".join(f"{colour} {100 * share:.0f}%" for share, colour in norm_scale(colours))
    name = "position:absolute;transform:translateX(-50%)"
    return (
        '<div style="grid-column:2/-1;max-width:20rem;margin-top:8px;line-height:1.3">'
        f'<div style="height:8px;border-radius:2px;background:linear-gradient(90deg,{stops})"></div>'
        f'<div style="position:relative;height:1.3em;color:{colours.quiet}">'
        f'<span style="position:absolute;left:0">{SCALE_NAMES[0]}</span>'
        f'<span style="{name};left:{100 * INITIAL_NORM / TOP_LEVEL:.1f}%">{SCALE_NAMES[1]}</span>'
        f'<span style="position:absolute;right:0">{SCALE_NAMES[2]}</span></div></div>'
    )


def _png(norms: np.ndarray, levels: bytes) -> bytes:
    """A PNG one pixel high: every norm (a byte) as a run of pixels in the palette's colour."""
    row = np.minimum(norms, TOP_LEVEL).astype(np.uint8).repeat(max(1, LEAST_PIXELS // len(norms)))
    return paletted_png(row[None], levels)
