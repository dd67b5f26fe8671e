"""Drawn shapes for property tests."""

from hypothesis import strategies as st

from engine.shape import FAMILIES, SHARINGS, Shape

VARIANTS: dict[str, dict[str, bool]] = {
    "encoder_no_pooler": {"mlm_head": False},
    "encoder_with_pooler": {"mlm_head": False, "pooler": True},
    "masked_lm": {"mlm_head": True},
    "pretraining": {"mlm_head": True, "pooler": True, "pair_head": True},
}


@st.composite
def small_shapes(draw: st.DrawFn, library: bool = False) -> Shape:
    """Small shapes of every kind; `library`: only those that the transformers classes can express."""

    def size(low: int, high: int) -> int:
        return draw(st.integers(low, high))

    family = draw(st.sampled_from(FAMILIES))
    layers, heads, head_dim = size(1, 4), size(1, 4), size(1, 6)
    hidden = heads * head_dim if library else size(1, 24)
    sharings = SHARINGS if not library else ("none",) if family == "bert" else ("none", "all")
    return Shape(
        family=family,
        layers=layers,
        hidden=hidden,
        heads=heads,
        head_dim=head_dim,
        ffn=size(1, 30),
        vocab=size(3, 60),
        positions=size(4, 12),
        token_types=size(1 if library else 0, 3),
        embedding=hidden if library and family == "bert" else size(1, 24),
        sharing=draw(st.sampled_from(sharings)),
        groups=size(1, layers),
        tied=draw(st.booleans()),
        **VARIANTS[draw(st.sampled_from(sorted(VARIANTS)))],
    )
