"""Presets: the well-known shapes by name, with what their papers say of their size beside what is exact.

Knows numbers and their sources, nothing of how they are counted.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from engine.sizing.shape import Shape, ShapeError

TURC = "Turc et al., arXiv 1908.08962, Table 1"
ALBERT = "Lan et al., arXiv 1909.11942, Table 1"
WID = "Wu et al., arXiv 2305.09098, as a summary of the paper reports it"
SIZE_FIELDS = ("layers", "hidden", "heads", "head_dim", "ffn", "embedding", "vocab", "positions", "token_types")


@dataclass(frozen=True)
class PublishedCount:
    """A parameter count as a paper prints it, beside the exact one."""

    parameters: str  # as printed, such as "110M"
    source: str


@dataclass(frozen=True)
class Preset:
    """A shape that people know by name."""

    name: str  # in links and on the command line
    label: str
    shape: Shape
    published: tuple[PublishedCount, ...] = ()


def _albert(layers: int, hidden: int, heads: int) -> Shape:
    return Shape(
        layers=layers,
        hidden=hidden,
        heads=heads,
        embedding=128,
        vocab=30_000,
        family="albert",
        sharing="all",
        activation="gelu_new",
    )


def _bert(layers: int, hidden: int, heads: int, **more: Any) -> Shape:
    return Shape(layers=layers, hidden=hidden, heads=heads, **more)


_WORKED: dict[str, Any] = {"layers": 24, "vocab": 10_000, "hidden": 1024, "heads": 16}  # ALBERT, section 3.1

PRESETS = {
    preset.name: preset
    for preset in (
        Preset("bert-tiny", "BERT tiny", _bert(2, 128, 2), (PublishedCount("4.4M", TURC),)),
        Preset("bert-mini", "BERT mini", _bert(4, 256, 4), (PublishedCount("11.3M", TURC),)),
        Preset("bert-small", "BERT small", _bert(4, 512, 8), (PublishedCount("29.1M", TURC),)),
        Preset("bert-medium", "BERT medium", _bert(8, 512, 8), (PublishedCount("41.7M", TURC),)),
        Preset(
            "bert-base",
            "BERT base",
            Shape(),
            (PublishedCount("110M", "Devlin et al., arXiv 1810.04805, section 3"), PublishedCount("108M", ALBERT)),
        ),
        Preset(
            "bert-large",
            "BERT large",
            _bert(24, 1024, 16),
            (PublishedCount("340M", "Devlin et al., arXiv 1810.04805, section 3"), PublishedCount("334M", ALBERT)),
        ),
        Preset(
            "distilbert",
            "DistilBERT",
            _bert(6, 768, 12, token_types=0),
            (PublishedCount("66M", "Sanh et al., arXiv 1910.01108, Table 3"),),
        ),
        Preset(
            "tinybert-4",
            "TinyBERT-4",
            _bert(4, 312, 12, ffn=1200),
            (PublishedCount("14.5M", "Jiao et al., arXiv 1909.10351, Table 1"),),
        ),
        Preset(
            "tinybert-6",
            "TinyBERT-6",
            _bert(6, 768, 12),
            (PublishedCount("67.0M", "Jiao et al., arXiv 1909.10351, Table 1"),),
        ),
        Preset("minilm-6", "MiniLM 6 x 384", _bert(6, 384, 12)),
        Preset(
            "minilm-12",
            "MiniLM 12 x 384",
            _bert(12, 384, 12),
            (PublishedCount("33M", "model card of MiniLM-L12-H384-uncased"),),
        ),
        Preset("albert-base", "ALBERT base", _albert(12, 768, 12), (PublishedCount("12M", ALBERT),)),
        Preset("albert-large", "ALBERT large", _albert(24, 1024, 16), (PublishedCount("18M", ALBERT),)),
        Preset("albert-xlarge", "ALBERT xlarge", _albert(24, 2048, 16), (PublishedCount("60M", ALBERT),)),
        Preset("albert-xxlarge", "ALBERT xxlarge", _albert(12, 4096, 64), (PublishedCount("235M", ALBERT),)),
        Preset("wid55-516", "WID55, 516 wide", _bert(12, 516, 12), (PublishedCount("about 55M", WID),)),
        Preset("wid55-512", "WID55, 512 wide", _bert(12, 512, 8), (PublishedCount("about 55M", WID),)),
        Preset("wid11", "WID11", _bert(12, 192, 12), (PublishedCount("about 11M", WID),)),
        Preset("example-whole", "Worked example, V x H", Shape(**_WORKED)),
        Preset("example-halves", "Worked example, V x E + E x H", Shape(**_WORKED, embedding=512, family="albert")),
        Preset("microworld", "Microworld", _bert(4, 128, 4, vocab=211, positions=64)),
    )
}


def find_preset(name: str) -> Preset:
    """The preset called `name`.

    Raises:
        ShapeError: there is none; the nearest names are listed.
    """
    if name in PRESETS:
        return PRESETS[name]
    shown = name if len(name) <= 40 else f"{name[:37]}..."
    near = difflib.get_close_matches(name[:40], PRESETS, 3, 0.3) or list(PRESETS)
    raise ShapeError([f"There is no preset {shown!r}; did you mean {', '.join(near)}?"])


def published_counts(shape: Shape) -> tuple[PublishedCount, ...]:
    """What papers print of the size of an encoder with these numbers, whatever heads are counted; often nothing."""
    key = _key(shape)
    return next((preset.published for preset in PRESETS.values() if preset.published and _key(preset.shape) == key), ())


def _key(shape: Shape) -> tuple[Any, ...]:
    shared = (shape.sharing, shape.groups) if shape.sharing != "none" else ("none", 1)
    return (*(getattr(shape, size) for size in SIZE_FIELDS), shape.factorised, *shared)
