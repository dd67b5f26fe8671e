"""Int8: weights of one byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import nn

from engine.methods.one_shot import OneShot
from engine.model.bert import Bert
from engine.model.linears import FakeQuantEmbedding, FakeQuantLinear
from engine.model.pruning import convert
from engine.settings.options import option
from engine.sizing.cost import model_bytes
from engine.sizing.shape import Shape


@dataclass(frozen=True)
class Int8Options:
    """Options of int8."""

    words: bool = option(
        True, "The word table too, which also decodes; of a small BERT it is most of the bytes.", label="word table too"
    )
    lr: float = option(
        5e-5, "Peak learning rate of healing steps.", least=1e-7, most=1.0, label="learning rate", advanced=True
    )


class Int8(OneShot):
    """After training, every weight of the linears and the word table is rounded to one of 255 steps of its row, one
    byte instead of four; what is multiplied with them is rounded on the way, token by token ("dynamic"). Healing steps,
    if any, train on while looking at the rounded weights (quantisation-aware training).
    """

    name = "int8"
    label = "Int8"
    paper = (
        "Zafrir et al. 2019, Q8BERT, arXiv 1910.06188 (dynamic quantisation is its baseline, healing its proposal); "
        "scales by row and token: Dettmers et al. 2022, LLM.int8(), arXiv 2208.07339"
    )
    formula = r"y = s_x s_W\, Q_x Q_W^\top + b, \quad Q = \mathrm{round}(\cdot\,/s)"
    Options = Int8Options

    options: Int8Options

    def outcome(self, start: Shape) -> Shape:
        """One byte a weight."""
        return Shape(**{**vars(start), "linear_bits": 8, "table_bits": 8 if self.options.words else 32})

    def notes(self, teacher: Shape, student: Shape) -> list[str]:
        """What stays in float32."""
        before, after = model_bytes(self.start(teacher)), model_bytes(student)
        kept = "position and token-type embeddings" if self.options.words else "embeddings"
        return [
            f"Its tensors take {after:,} bytes instead of {before:,}: {before / after:.2f}× fewer.",
            f"Biases, LayerNorms, {kept} and one scale a row stay in float32. The number of parameters stays; bytes "
            "fall.",
            "In time it pays only where a model is wide: on a quiet CPU with int8 instructions and one thread it was "
            "1.1 times as fast as float32 at a width of 128 and 2.0 times at 768; with two threads it was slower below "
            "384 (0.6 times at 128) and 1.4 times as fast at 768 (python -m engine bench int8). This student is "
            "measured when the run ends.",
        ]

    def prepare(self, teacher: Bert, shape: Shape, seed: int) -> nn.Module:
        """The teacher in float32, its linears computing what int8 ones will."""
        student = super().prepare(teacher, shape, seed)
        for module in list(student.modules()):
            for name, child in list(module.named_children()):
                rounded: nn.Module
                if isinstance(child, nn.Linear):
                    rounded = FakeQuantLinear(child.in_features, child.out_features, child.bias is not None)
                elif name == "word" and self.options.words:
                    rounded = FakeQuantEmbedding(*cast(nn.Embedding, child).weight.shape)
                else:
                    continue
                rounded.load_state_dict(child.state_dict())
                setattr(module, name, rounded)
        return student

    def finish(self, student: nn.Module) -> Bert:
        """The int8 model."""
        assert isinstance(student, Bert)
        return convert(student, self.outcome(student.shape))
