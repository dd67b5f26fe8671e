"""Adaptation: a masked-LM head for an encoder that was published without one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.learning.closeness import sentence_embeddings
from engine.learning.losses import at_least_float32
from engine.methods.base import Method, adamw
from engine.model.bert import Bert, LayerNorm, Trace
from engine.model.new_head import with_mlm_head
from engine.settings.options import option
from engine.sizing.shape import Shape
from engine.sizing.step_flops import (
    FORWARD_AND_BACKWARD,
    BatchShape,
    encoder_flops,
    forward_flops,
    linear_flops,
    mlm_head_flops,
)
from engine.text.masking import Batch


@dataclass(frozen=True)
class AdaptOptions:
    """Options of adaptation."""

    rank: int = option(
        64, "Rank of what is learned beside every linear: how far the encoder can move.", least=1, most=1024
    )
    word_rank: int = option(
        0,
        "Rank of what is learned beside the word embeddings, which are also the decoder; 0: they stay as they are.",
        least=0,
        most=1024,
        label="word rank",
    )
    attention: bool = option(
        False,
        "Whether queries and keys learn too. Without, attention moves only as far as the hidden states that it reads.",
        label="queries and keys learn",
    )
    anchor: float = option(
        4.0,
        "Weight of staying close: 1 - cosine between the original's sentence embedding and the adapted one's.",
        least=0.0,
        most=1000.0,
    )
    lr: float = option(2e-3, "Peak learning rate.", least=1e-7, most=1.0, label="learning rate")


class Adapt(Method):
    """Adaptation: continued pre-training that gives an encoder without a masked-LM head one.

    The encoder's own weights stay frozen. Beside its linears a product of two thin matrices learns what masked-LM asks
    of it; LayerNorms and the head learn as usual. An anchor keeps the mean of the last hidden states, which sentence
    encoders hand out, near what the original says of the same text with nothing hidden. At the end the products are
    added to the weights, so the student is a plain BERT of the teacher's own shape that can teach; what was learned is
    kept beside it and is small enough to ship.
    """

    name = "adapt"
    label = "Adapt (add a head)"
    paper = "Hu et al. 2021, arXiv 2106.09685; Gururangan et al. 2020, arXiv 2004.10964"
    formula = r"\mathcal{L}_{\mathrm{MLM}} + a\,\left(1-\cos(\bar h^{\,S}, \bar h^{\,T})\right)"
    uses = ("feature", "hard", "task-agnostic")
    Options = AdaptOptions
    inherits = True
    adds_head = True
    chooses = ()

    def objections(self, teacher: Shape, student: Shape) -> list[str]:
        """It keeps the teacher's shape."""
        if student != teacher.replace(pooler=False, pair_head=False, mlm_head=True):
            return [f"Adaptation keeps the teacher's shape, {teacher}; leave the student's sizes alone."]
        return []

    def notes(self, teacher: Shape, student: Shape) -> list[str]:
        """How much is learned."""
        return ["The student has its teacher's shape: adaptation compresses nothing, it makes a teacher."]

    def prepare(self, teacher: Bert, shape: Shape, seed: int) -> nn.Module:
        """The teacher with its weights frozen and thin products beside them, which start as zero."""
        bert, weights = Bert(shape), with_mlm_head(teacher).state_dict()
        bert.load_state_dict({name: weights[name] for name in bert.state_dict()})
        generator = torch.Generator().manual_seed(seed)
        for part in (*bert.attentions, *bert.ffns):
            for name, linear in list(part.named_children()):
                if isinstance(linear, nn.Linear) and (self.options.attention or name not in ("query", "key")):
                    setattr(part, name, LowRankLinear(linear, self.options.rank, generator))
        if self.options.word_rank:
            bert.embeddings.word = cast(
                nn.Embedding, LowRankEmbedding(bert.embeddings.word, self.options.word_rank, generator)
            )
        _freeze(bert)
        return bert

    def losses(self, student: nn.Module, teacher: Bert, batch: Batch) -> dict[str, Tensor]:
        """Masked-LM, and the distance to the original's sentence embeddings."""
        trace: Trace = {"hidden": []}
        logits = at_least_float32(student(batch.ids, batch.visible, positions=batch.positions, trace=trace))
        terms = {"masked-LM": F.cross_entropy(logits, batch.targets)}
        if self.options.anchor:
            with torch.no_grad():  # of the text before anything was hidden: with [MASK] in them all texts look alike
                plain = batch.ids.flatten().scatter(0, batch.positions, batch.targets).view_as(batch.ids)
                original = sentence_embeddings(teacher.encode(plain, batch.visible), batch.visible)
            adapted = sentence_embeddings(trace["hidden"][-1], batch.visible)
            words = torch.zeros_like(adapted[:, 0]).index_add_(
                0, batch.positions // batch.ids.shape[1], torch.ones_like(batch.positions, dtype=adapted.dtype)
            )  # a row weighs as much as it has hidden words: parts of a batch add up to it
            apart = 1 - F.cosine_similarity(adapted, original, dim=-1)
            terms["anchor"] = self.options.anchor * (apart * words).sum() / words.sum()
        return terms

    def optimizer(self, student: nn.Module) -> torch.optim.Optimizer:
        """AdamW at one rate."""
        return adamw([(student, self.options.lr)])

    def finish(self, student: nn.Module) -> Bert:
        """The products added to the frozen weights: a plain BERT."""
        assert isinstance(student, Bert)
        return merge(student)

    def pass_flops(
        self, teacher: Shape, student: Shape, work: BatchShape, step: int, network: nn.Module | None = None
    ) -> int:
        """The student's, its thin products, and the original without a head; what is frozen has one gradient, not two.

        The word embeddings' thin product is formed on the tokens, and over the whole vocabulary for the decoder.
        """
        options, tokens = self.options, work.tokens
        thin = [(student.hidden, student.ffn)] * 2 + [(student.inner, student.hidden)] * (4 if options.attention else 2)
        products = sum(linear_flops(min(options.rank, *sides), *sides) for sides in thin) * student.layers
        frozen = 0 if options.attention else student.layers * 2 * linear_flops(tokens, student.hidden, student.inner)
        word_rank = min(options.word_rank, student.embedding)
        if word_rank:
            products += linear_flops(tokens + student.vocab, word_rank, student.embedding)
        else:
            frozen += mlm_head_flops(student, work.predicted) - linear_flops(
                work.predicted, student.hidden, student.embedding
            )
        anchor = encoder_flops(teacher, work) if options.anchor else 0
        return FORWARD_AND_BACKWARD * (forward_flops(student, work) + products) - frozen + anchor

    def lineage(self, student: nn.Module) -> dict[str, Tensor]:
        """What was learned: the thin matrices and everything else that is not the original's."""
        return {f"adapter.{name}": p.detach().cpu().contiguous() for name, p in student.named_parameters()}


class LowRankLinear(nn.Module):
    """A linear whose weight is a frozen one plus a product of two thin ones, multiplied out once a step.

    Some thousand tokens a step make that cheaper than taking every token through the thin matrices.
    """

    def __init__(self, linear: nn.Linear, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        rank = min(rank, *linear.weight.shape)
        self.frozen: Tensor
        self.register_buffer("frozen", linear.weight.detach().clone())
        self.bias = nn.Parameter(linear.bias.detach().clone())
        down = torch.randn(rank, linear.in_features, generator=generator) / math.sqrt(linear.in_features)
        self.down, self.up = nn.Parameter(down), nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return F.linear(x, self.weight, self.bias)

    @property
    def weight(self) -> Tensor:
        """(out, in): what a plain linear would need."""
        return self.frozen + self.up @ self.down


class LowRankEmbedding(nn.Module):
    """A frozen embedding table with a low-rank one beside it."""

    def __init__(self, table: nn.Embedding, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        rows, width = table.weight.shape
        rank = min(rank, width)
        self.frozen: Tensor
        self.register_buffer("frozen", table.weight.detach().clone())
        self.up = nn.Parameter(torch.zeros(rows, rank))
        self.down = nn.Parameter(torch.randn(rank, width, generator=generator) / math.sqrt(width))

    def forward(self, ids: Tensor) -> Tensor:
        """ids (...) -> (..., width)."""
        return F.embedding(ids, self.frozen) + F.embedding(ids, self.up) @ self.down

    @property
    def weight(self) -> Tensor:
        """(rows, width): the table that also decodes."""
        return self.frozen + self.up @ self.down


def merge(student: Bert) -> Bert:
    """A plain BERT that computes what `student`, with low-rank products beside its weights, computes."""
    bert = Bert(student.shape)
    with torch.no_grad():
        for name, parameter in bert.named_parameters():
            owner, _, attribute = name.rpartition(".")
            parameter.copy_(getattr(student.get_submodule(owner), attribute))
    return bert


def _freeze(bert: Bert) -> None:
    """Makes buffers of the parameters that do not learn: a run trains, decays and saves parameters only."""
    for module in bert.modules():
        learns = isinstance(module, LowRankLinear | LowRankEmbedding | LayerNorm)
        if learns or module is bert.head or (bert.head is not None and module is bert.head.transform):
            continue
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.detach())
