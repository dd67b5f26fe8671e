"""Low-rank factorisation: every linear becomes the product of two thin ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from engine.methods.one_shot import OneShot, healing_rate
from engine.model.bert import Bert
from engine.model.new_head import with_mlm_head
from engine.model.pruning import convert
from engine.settings.options import option
from engine.sizing.shape import Shape


@dataclass(frozen=True)
class LowRankOptions:
    """Options of low-rank factorisation."""

    share: float = option(0.25, "Rank, as a share of the width.", least=0.001, most=1.0, label="share of full rank")
    rank: int = option(0, "Rank, as a number; 0: by the share above.", least=0, most=1_000_000)
    lr: float = healing_rate()


class LowRank(OneShot):
    """Every linear of the layers becomes the product of two thin ones: its singular value decomposition, of which only
    the largest values stay. Healing steps train both factors on masked words.
    """

    name = "low_rank"
    label = "Low-rank factorisation"
    paper = "Ben Noach and Goldberg 2020, Compressing Pre-trained Language Models by Matrix Decomposition, AACL"
    formula = r"W \approx \left(U_r \Sigma_r^{1/2}\right)\left(\Sigma_r^{1/2} V_r^\top\right)"
    Options = LowRankOptions

    options: LowRankOptions

    def rank(self, shape: Shape) -> int:
        """As a number."""
        return self.options.rank or max(1, round(self.options.share * min(shape.hidden, shape.inner)))

    def refusals(self, teacher: Shape) -> list[str]:
        """Two factors must hold less than the whole somewhere."""
        problems, rank = super().refusals(teacher), self.rank(teacher)
        pairs = [(teacher.hidden, teacher.inner), (teacher.hidden, teacher.ffn)]
        limit = max(-(-wide * out // (wide + out)) for wide, out in pairs)  # ranks below it save
        share = math.floor(1000 * (limit - 1) / min(teacher.hidden, teacher.inner)) / 1000
        if not problems and rank >= limit:
            problems.append(
                f"Two factors of rank {rank:,} hold no less than any of this teacher's linears; choose a rank below "
                f"{limit:,}, or a share of at most {share:g}."
            )
        if not problems and teacher.rank and rank >= teacher.rank:
            problems.append(
                f"This teacher's linears have rank {teacher.rank:,} already, got {rank:,}; choose a lower one."
            )
        return problems

    def outcome(self, start: Shape) -> Shape:
        """Two factors, where that saves."""
        return Shape(**{**vars(start), "rank": self.rank(start)})

    def notes(self, teacher: Shape, student: Shape) -> list[str]:
        """What is factorised, and what is not worth it."""
        square = student.rank_of(student.hidden, student.inner)
        wide = student.rank_of(student.hidden, student.ffn)
        notes = [f"The rank is {student.rank:,} of at most {min(student.hidden, student.inner):,}."]
        if not square and wide:
            notes.append("Query, key, value and output stay whole: two factors of this rank would hold no less.")
        return notes

    def prepare(self, teacher: Bert, shape: Shape, seed: int) -> nn.Module:
        """The teacher's linears, cut off behind their largest singular values."""
        return convert(with_mlm_head(teacher), shape)
