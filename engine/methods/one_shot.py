"""What one-shot compressions have in common: the student is there before the first step, and steps, if any, heal it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from engine.inspection.importance import RANKINGS, choose, shared_out
from engine.methods.base import Method
from engine.model.bert import Bert
from engine.model.new_head import with_mlm_head
from engine.model.pruning import Kept, block_sizes, convert, prune, pruned_shape
from engine.settings.options import option
from engine.sizing.shape import Shape, ShapeError
from engine.text.masking import Batch


def healing_rate() -> Any:
    """The field `lr` of a method's options."""
    return option(
        5e-4, "Peak learning rate of healing steps.", least=1e-7, most=1.0, label="learning rate", advanced=True
    )


def share_of(things: str) -> Any:
    """The field `share` of a Cut's options, which takes `things` out."""
    return option(0.5, f"Share of all {things} that leave.", least=0.01, most=1.0, label="share that leaves")


def ranking_of(things: str) -> Any:
    """The field `ranking` of a Cut's options."""
    return option(
        "global",
        f"{things.capitalize()} of all layers are ranked together, each layer's importances divided by their L2 norm, "
        "as in the paper; or every layer loses its own least important ones, all of them the same share.",
        choices=RANKINGS,
    )


def batches_to_look_at() -> Any:
    """The field `batches` of a Cut's options."""
    return option(
        16, "Batches of the corpus over which importance is averaged.", least=1, most=10_000, label="batches to look at"
    )


class OneShot(Method):
    """A method whose work is done in `prepare`, `calibrate` or `finish`."""

    one_shot = True
    chooses: ClassVar[tuple[str, ...]] = ()

    def student_shape(self, teacher: Shape, wanted: dict[str, Any]) -> Shape:
        """The teacher's shape, as the method changes it.

        Raises:
            ConfigError: a field is not for choosing.
            ShapeError: other sizes than the teacher's are wanted, or the teacher does not suit the method.
        """
        asked, start = super().student_shape(teacher.plain(), wanted), self.start(teacher)
        if asked != start.plain():
            raise ShapeError(
                [
                    f"{self.label} starts from its teacher's sizes, {start}, and its options say what becomes of "
                    f"them, got {asked}; leave the student's sizes alone."
                ]
            )
        problems = self.refusals(teacher)
        if problems:
            raise ShapeError(problems)
        return self.outcome(start)

    def start(self, teacher: Shape) -> Shape:
        """The teacher without what a student has no use for."""
        return teacher.replace(pooler=False, pair_head=False, mlm_head=True)

    def refusals(self, teacher: Shape) -> list[str]:
        """Why this teacher cannot be compressed so, one sentence each."""
        if teacher.linear_bits == 8 or teacher.table_bits == 8:
            return [
                f"{self.label} needs weights that can learn, and this teacher's are int8 already; take the run that it "
                "was made from, and make int8 the last step."
            ]
        return []

    def outcome(self, start: Shape) -> Shape:
        """What becomes of a student that begins as `start`."""
        return start

    def prepare(self, teacher: Bert, shape: Shape, seed: int) -> nn.Module:
        """A copy of the teacher."""
        return convert(with_mlm_head(teacher), self.start(teacher.shape))


class Cut(OneShot):
    """Whole heads or neurons leave, the least important first.

    Its options have `share`, what leaves, and `ranking`: "global" over all layers, or the same in each "layer".
    """

    part: ClassVar[str]  # "attention" or "ffn"
    things: ClassVar[str]  # what leaves, in words
    kept: Kept  # of each block with weights of its own, once it is known

    @property
    def corpus_decides(self) -> bool:  # type: ignore[override]
        """Only when layers are ranked against one another."""
        return self.options.ranking == "global"

    def left(self, shape: Shape) -> list[int]:
        """How many heads or neurons stay in each block; a guess with the right sum, where the ranking is global."""
        sizes = block_sizes(shape, self.part)
        if self.options.ranking == "global":
            return shared_out(sizes, max(len(sizes), sum(sizes) - round(self.options.share * sum(sizes))))
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
        if self.corpus_decides:
            notes.append(
                "Which layers lose them is found out at the start of the run, so layers may come out uneven; "
                + ("their parameters are about as many." if teacher.rank else "the number of parameters is exact.")
            )
        return notes

    def scores(self, student: Bert, batches: Iterable[Batch]) -> list[Tensor]:
        """The importance of every head or neuron, a tensor a block."""
        raise NotImplementedError

    def calibrate(self, student: nn.Module, batches: Iterable[Batch]) -> nn.Module:
        """Finds out who matters, and cuts."""
        assert isinstance(student, Bert)
        left, device = self.left(student.shape), next(student.parameters()).device
        scores = self.scores(student, batches)
        self.kept = choose(scores, sum(left) if self.options.ranking == "global" else left)
        return prune(student, self.part, self.kept).to(device)

    def settled(self, student: nn.Module, shape: Shape) -> Shape:
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
