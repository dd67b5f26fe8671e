"""Whole heads or neurons leave, the least important first: what head and FFN pruning have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from engine.inspection.importance import RANKINGS, most_important, proportional_counts
from engine.methods.kinds.calibrated import Calibrated
from engine.methods.kinds.one_shot import OneShot
from engine.model.bert import Bert
from engine.model.pruning import Kept, block_sizes, prune, pruned_shape
from engine.settings.options import option
from engine.sizing.shape import Shape
from engine.text.masking import Batch


def share_of(things: str) -> Any:
    """The field `share` of a StructuredPruning's options, which takes `things` out."""
    return option(0.5, f"Share of all {things} that leave.", least=0.01, most=1.0, label="share that leaves")


def ranking_of(things: str) -> Any:
    """The field `ranking` of a StructuredPruning's options."""
    return option(
        "global",
        f"{things.capitalize()} of all layers are ranked together, each layer's importances divided by their L2 norm, "
        "as in the paper; or every layer loses its own least important ones, all of them the same share.",
        choices=RANKINGS,
    )


def batches_to_look_at() -> Any:
    """The field `batches` of a StructuredPruning's options."""
    return option(
        16, "Batches of the corpus over which importance is averaged.", least=1, most=10_000, label="batches to look at"
    )


class StructuredPruning(Calibrated, OneShot):
    """Whole heads or neurons leave, the least important first.

    Its options have `share`, what leaves, and `ranking`: "global" over all layers, or the same in each "layer".
    """

    part: ClassVar[str]  # "attention" or "ffn"
    things: ClassVar[str]  # what leaves, in words
    kept: Kept  # of each block with weights of its own, once it is known

    @property
    def corpus_decides_shape(self) -> bool:
        """Only when layers are ranked against one another."""
        return self.options.ranking == "global"

    def left(self, shape: Shape) -> list[int]:
        """How many heads or neurons stay in each block; a guess with the right sum, where the ranking is global."""
        sizes = block_sizes(shape, self.part)
        if self.options.ranking == "global":
            return proportional_counts(sizes, max(len(sizes), sum(sizes) - round(self.options.share * sum(sizes))))
        return [max(1, size - round(self.options.share * size)) for size in sizes]

    def refusals(self, teacher: Shape) -> list[str]:
        """Something must leave, and int8 weights do not learn."""
        problems = super().refusals(teacher)
        start = self.start(teacher)
        before, after = sum(block_sizes(start, self.part)), sum(self.left(start))
        if not problems and before == after:
            problems.append(
                f"A share of {self.options.share:g} of {before:,} {self.things} is none at all, for every layer keeps "
                "one; choose a larger share, or another teacher."
            )
        return problems

    def outcome(self, start: Shape) -> Shape:
        """Fewer heads or neurons."""
        return pruned_shape(start, self.part, self.left(start))

    def notes(self, teacher: Shape, student: Shape) -> list[str]:
        """How many leave, and who decides which."""
        sizes, left = block_sizes(self.start(teacher), self.part), self.left(self.start(teacher))
        notes = [f"{sum(sizes) - sum(left):,} of {sum(sizes):,} {self.things} leave; every layer keeps at least one."]
        if self.corpus_decides_shape:
            notes.append(
                "Which layers lose them is found out at the start of the run, so layers may come out uneven; "
                + ("their parameters are about as many." if teacher.rank else "the number of parameters is exact.")
            )
        return notes

    def importance(self, student: Bert, batches: Iterable[Batch]) -> list[Tensor]:
        """The importance of every head or neuron, a tensor a block."""
        raise NotImplementedError

    def calibrate(self, student: nn.Module, batches: Iterable[Batch]) -> nn.Module:
        """Finds out who matters, and cuts."""
        assert isinstance(student, Bert)
        left, device = self.left(student.shape), next(student.parameters()).device
        importance = self.importance(student, batches)
        self.kept = most_important(importance, sum(left) if self.options.ranking == "global" else left)
        return prune(student, self.part, self.kept).to(device)

    def calibrated_shape(self, student: nn.Module) -> Shape:
        """What the cut has left."""
        assert isinstance(student, Bert)
        return student.shape

    def lineage(self, student: nn.Module) -> dict[str, Tensor]:
        """Which of the teacher's heads or neurons each block still has: "kept.attention.0" (head,) and so on."""
        return {f"kept.{self.part}.{block}": torch.tensor(places) for block, places in enumerate(self.kept)}

    def state(self, student: nn.Module) -> dict[str, Any]:
        """What was kept."""
        return {"kept": self.kept}

    def restore(self, student: nn.Module, state: dict[str, Any]) -> nn.Module:
        """Cuts as the run did that is resumed."""
        assert isinstance(student, Bert)
        self.kept = state["kept"]
        return prune(student, self.part, self.kept)
