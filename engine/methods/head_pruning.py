"""Head pruning: whole attention heads leave."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from engine.inspection.importance import first_order_importance
from engine.methods.base import About
from engine.methods.kinds.one_shot import healing_rate
from engine.methods.kinds.structured_pruning import StructuredPruning, batches_to_look_at, ranking_of, share_of
from engine.model.bert import Bert
from engine.text.masking import Batch


@dataclass(frozen=True)
class HeadPruningOptions:
    """Options of head pruning."""

    share: float = share_of("heads")
    ranking: str = ranking_of("heads")
    batches: int = batches_to_look_at()
    lr: float = healing_rate()


class HeadPruning(StructuredPruning):
    """The heads that matter least to the masked-LM loss are taken out of the model, weights and all. What matters is
    how fast the loss would change if a head's output were scaled down, on average over texts.
    """

    about = About(
        name="head_pruning",
        label="Head pruning",
        paper="Michel et al. 2019, Are Sixteen Heads Really Better than One?, arXiv 1905.10650",
        formula=r"I_h = \mathbb{E}_x \left|\frac{\partial \mathcal{L}(x)}{\partial \xi_h}\right|, \quad \xi_h = 1",
        chooses=(),
    )
    Options = HeadPruningOptions
    part = "attention"
    things = "heads"

    options: HeadPruningOptions

    @property
    def calibration_batches(self) -> int:
        """As its options say."""
        return self.options.batches

    def importance(self, student: Bert, batches: Iterable[Batch]) -> list[Tensor]:
        """The paper's importance."""
        return first_order_importance(student, self.part, batches)
