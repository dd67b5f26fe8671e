"""Head pruning: whole attention heads leave."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from engine.bert import Bert
from engine.config import option
from engine.importance import RANKINGS, first_order
from engine.masking import Batch
from engine.one_shot import HEALING_RATE, Cut


@dataclass(frozen=True)
class HeadPruningOptions:
    """Options of head pruning."""

    share: float = option(0.5, "Share of all heads that leave.", least=0.01, most=1.0, label="share that leaves")
    ranking: str = option(
        "global",
        "Heads of all layers are ranked together, each layer's importances divided by their L2 norm as in the paper; "
        "or every layer loses its own least important ones, all of them the same number.",
        choices=RANKINGS,
    )
    batches: int = option(
        16, "Batches of the corpus over which importance is averaged.", least=1, most=10_000, label="batches to look at"
    )
    lr: float = option(
        HEALING_RATE, "Peak learning rate of healing steps.", least=1e-7, most=1.0, label="learning rate", advanced=True
    )


class HeadPruning(Cut):
    """The heads that matter least to the masked-LM loss are taken out of the model, weights and all. What matters is
    how fast the loss would change if a head's output were scaled down, on average over texts.
    """

    name = "head_pruning"
    label = "Head pruning"
    paper = "Michel et al. 2019, Are Sixteen Heads Really Better than One?, arXiv 1905.10650"
    formula = r"I_h = \mathbb{E}_x \left|\frac{\partial \mathcal{L}(x)}{\partial \xi_h}\right|, \quad \xi_h = 1"
    Options = HeadPruningOptions
    part = "attention"
    things = "heads"

    options: HeadPruningOptions

    @property
    def calibration_batches(self) -> int:
        """As its options say."""
        return self.options.batches

    def scores(self, student: Bert, batches: Iterable[Batch]) -> list[Tensor]:
        """The paper's importance."""
        return first_order(student, self.part, batches)
