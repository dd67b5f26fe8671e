"""Attention charts: the numbers that went in are the numbers that are drawn, on one scale."""

import numpy as np
import pytest

from app.elements.theme import LIGHT
from app.examine.attention_charts import attention_heatmap, attention_mosaic


def some_attention(layers: int, heads: int, pos: int) -> np.ndarray:
    """Random attention maps, (layers, heads, pos, pos), rows summing to 1."""
    raw = np.random.default_rng(0).random((layers, heads, pos, pos)) ** 4
    return raw / raw.sum(-1, keepdims=True)


@pytest.mark.parametrize(("layers", "heads", "pos"), [(4, 4, 14), (12, 12, 32), (2, 3, 5), (1, 1, 2)])
def test_mosaic_holds_every_head_in_its_place(layers, heads, pos) -> None:
    """Harm: the square labelled layer 2, head 3 shows another head."""
    maps = some_attention(layers, heads, pos)
    figure = attention_mosaic(maps, "student", LIGHT)
    canvas, squares = np.asarray(figure.data[0].z), figure.data[1]
    assert canvas.dtype == np.uint8
    for x, y, (layer, head) in zip(squares.x, squares.y, squares.customdata, strict=True):
        top, left = round(y - (pos - 1) / 2), round(x - (pos - 1) / 2)
        tile = canvas[top : top + pos, left : left + pos]
        np.testing.assert_allclose(tile / 100, maps[layer - 1, head - 1], atol=0.0051)
    assert len(squares.x) == layers * heads


def test_teacher_and_student_are_drawn_on_one_scale() -> None:
    """Harm: a faint student looks as strong as its teacher because each map is scaled by itself."""
    for role in ("teacher", "student"):
        for figure in (
            attention_mosaic(some_attention(2, 2, 4), role, LIGHT),
            attention_heatmap(some_attention(1, 1, 4)[0, 0] / 2, list("abcd"), role, LIGHT),
        ):
            heatmap = figure.data[0]
            assert (heatmap.zmin, heatmap.zmax) in ((0, 100), (0, 1))


def test_words_that_come_twice_keep_their_own_rows() -> None:
    """Harm: plotly merges two rows labelled 'the' into one."""
    grid = some_attention(1, 1, 3)[0, 0]
    figure = attention_heatmap(grid, ["the", "dog", "the"], "teacher", LIGHT)
    np.testing.assert_allclose(figure.data[0].z, grid.astype(np.float32))
    assert list(figure.layout.xaxis.ticktext) == ["the", "dog", "the"]
    assert list(figure.layout.xaxis.tickvals) == [0, 1, 2]


def test_tokens_cannot_be_markup() -> None:
    """Harm: a token is drawn as a link or an image, because plotly reads some HTML in labels."""
    figure = attention_heatmap(some_attention(1, 1, 2)[0, 0], ["<a href='x'>y</a>", "&lt;"], "teacher", LIGHT)
    assert not any("<" in text for text in figure.layout.xaxis.ticktext)
    assert figure.layout.xaxis.ticktext[1] == "&amp;lt;"
