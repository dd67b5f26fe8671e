"""Checks a count by formula: builds the real model of a shape, without memory for its weights, and counts its tensors.

Transformers' own class where that can express the shape, this project's model where only that can. Whoever must not
load torch starts this file as a program (see engine/settings/torch_subprocess.py).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from engine.model.bert import Bert
from engine.model.transformers_format import transformers_config, transformers_objections
from engine.settings.torch_subprocess import answer_stdin, report_progress
from engine.sizing.cost import parameters
from engine.sizing.shape import Shape, ShapeError

MAX_LAYERS = 1_000  # layers that are worth building one by one


@dataclass(frozen=True)
class CountCheck:
    """A count by formula beside a count of tensors."""

    built: str  # the class that was built
    computed: int  # engine.sizing.cost.parameters
    counted: int  # elements of all tensors of the built model, tied and shared ones once
    unread: int = 0  # of these in a tensor that the class keeps and never reads

    @property
    def equal(self) -> bool:
        """Whether both agree, the unread tensor aside."""
        return self.computed == self.counted - self.unread


def check_count(shape: Shape) -> CountCheck:
    """Builds `shape` on torch's meta device and counts.

    Raises:
        ShapeError: it has so many layers that building them takes minutes.
    """
    if shape.layers > MAX_LAYERS:
        raise ShapeError([f"Only models of up to {MAX_LAYERS:,} layers are built to be counted, got {shape.layers:,}."])
    with torch.device("meta"):
        model = transformers_model(shape) or Bert(shape)
    name = type(model).__name__
    ours = isinstance(model, Bert)
    counted = sum(parameter.numel() for parameter in model.parameters())
    # for an untied decoder BERT's and ALBERT's classes have a second bias since version 5, and read one of the two
    biases = [kept for kept, _ in model.named_parameters() if kept.endswith(("predictions.bias", "decoder.bias"))]
    unread = shape.vocab if not ours and len(biases) == 2 else 0
    return CountCheck("this project's Bert" if ours else f"transformers' {name}", parameters(shape), counted, unread)


def transformers_model(shape: Shape) -> nn.Module | None:
    """The library's model of `shape`, with the heads that it asks for; None where no class of the library has them."""
    import transformers

    distil = not shape.token_types and shape.family == "bert"
    reasons = transformers_objections(shape.replace(token_types=2) if distil else shape)
    if reasons or (shape.pair_head and not shape.mlm_head) or (distil and (shape.pooler or shape.pair_head)):
        return None
    if shape.mlm_head and shape.pooler and not shape.pair_head:
        return None  # the library's masked-LM classes have no pooler, its pre-training classes have everything
    if distil:
        head = "ForMaskedLM" if shape.mlm_head else "Model"
        config = transformers.DistilBertConfig(
            vocab_size=shape.vocab,
            max_position_embeddings=shape.positions,
            n_layers=shape.layers,
            n_heads=shape.heads,
            dim=shape.hidden,
            hidden_dim=shape.ffn,
            tie_word_embeddings=shape.tied,
        )
        return getattr(transformers, f"DistilBert{head}")(config)
    fields = {name: value for name, value in transformers_config(shape).items() if name not in ("model_type",)}
    family = shape.family.capitalize()
    config = getattr(transformers, f"{family}Config")(**fields)
    if shape.mlm_head:
        return getattr(transformers, f"{family}{'ForPreTraining' if shape.pair_head else 'ForMaskedLM'}")(config)
    return getattr(transformers, f"{family}Model")(config, add_pooling_layer=shape.pooler)


def check_counts(question: dict[str, Any]) -> dict[str, Any]:
    """Verdicts on the shapes of `question`, as plain values."""
    found = []
    shapes = question["shapes"]
    for index, fields in enumerate(shapes):
        report_progress(index / len(shapes), f"building {index + 1} of {len(shapes)}")
        check = check_count(Shape.from_json(fields))
        found.append(asdict(check) | {"equal": check.equal})
    return {"verdicts": found}


if __name__ == "__main__":
    answer_stdin(check_counts)
