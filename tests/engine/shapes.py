"""Drawn shapes for property tests."""

from typing import Any

from hypothesis import strategies as st

from engine.shape import FAMILIES, SHARINGS, Shape

VARIANTS: dict[str, dict[str, bool]] = {
    "encoder_no_pooler": {"mlm_head": False},
    "encoder_with_pooler": {"mlm_head": False, "pooler": True},
    "masked_lm": {"mlm_head": True},
    "pretraining": {"mlm_head": True, "pooler": True, "pair_head": True},
}


@st.composite
def small_shapes(draw: st.DrawFn, library: bool = False, compressed: bool = False) -> Shape:
    """Small shapes of every kind; `library`: only those that the transformers classes can express.

    `compressed`: also those that one-shot compressions leave behind.
    """

    def size(low: int, high: int) -> int:
        return draw(st.integers(low, high))

    family = draw(st.sampled_from(FAMILIES))
    layers, heads, head_dim = size(1, 4), size(1, 4), size(1, 6)
    hidden = heads * head_dim if library else size(1, 24)
    sharings = SHARINGS if not library else ("none",) if family == "bert" else ("none", "all")
    ffn, sharing, groups = size(1, 30), draw(st.sampled_from(sharings)), size(1, layers)
    left = {} if not compressed else draw(outcomes(layers, heads, ffn, sharing, groups))
    return Shape(
        family=family,
        layers=layers,
        hidden=hidden,
        heads=heads,
        head_dim=head_dim,
        ffn=ffn,
        vocab=size(3, 60),
        positions=size(4, 12),
        token_types=size(1 if library else 0, 3),
        embedding=hidden if library and family == "bert" else size(1, 24),
        sharing=sharing,
        groups=groups,
        tied=draw(st.booleans()),
        **VARIANTS[draw(st.sampled_from(sorted(VARIANTS)))],
        **left,
    )


@st.composite
def outcomes(draw: st.DrawFn, layers: int, heads: int, ffn: int, sharing: str, groups: int) -> dict[str, Any]:
    """What one-shot compressions may leave behind in a shape of these sizes; often nothing."""
    if draw(st.booleans()):
        return {}

    def each(most: int, shared: bool) -> list[int]:
        sizes = draw(st.lists(st.integers(1, most), min_size=layers, max_size=layers))
        if shared:  # one size a group, by the library's rule
            sizes = [sizes[int(layer / (layers / groups))] for layer in range(layers)]
        sizes = [most if size == max(sizes) else size for size in sizes]
        return sizes if draw(st.booleans()) else []

    return {
        "layer_heads": each(heads, sharing in ("attention", "all")),
        "layer_ffn": each(ffn, sharing in ("ffn", "all")),
        "rank": draw(st.sampled_from([0, 0, 1, 2, 5, 10**6])),
        "linear_bits": draw(st.sampled_from([8, 32])),
        "table_bits": draw(st.sampled_from([8, 32])),
    }
