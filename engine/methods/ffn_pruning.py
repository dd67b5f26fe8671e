"""FFN pruning: neurons of the feed-forward networks leave."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from engine.inspection.importance import first_order_importance, weight_norm_importance
from engine.methods.base import About
from engine.methods.kinds.one_shot import healing_rate
from engine.methods.kinds.structured_pruning import StructuredPruning, batches_to_look_at, ranking_of, share_of
from engine.model.bert import Bert
from engine.settings.options import option
from engine.text.masking import Batch


@dataclass(frozen=True)
class FfnPruningOptions:
    """Options of FFN pruning."""

    share: float = share_of("neurons")
    importance: str = option(
        "gradients",
        "Activation times gradient, averaged over texts; or the product of the norms of a neuron's weights in and out, "
        "which needs no text.",
        choices=("gradients", "weights"),
    )
    ranking: str = ranking_of("neurons")
    batches: int = batches_to_look_at()
    lr: float = healing_rate()


class FfnPruning(StructuredPruning):
    """The neurons of the feed-forward networks that matter least are taken out of the model, weights and all. What
    matters is a neuron's activation times the gradient that arrives there: what the loss would lose without it, to
    first order.
    """

    about = About(
        name="ffn_pruning",
        label="FFN pruning",
        paper="Molchanov et al. 2016, Pruning Convolutional Neural Networks for Resource Efficient Inference, "
        "arXiv 1611.06440",
        formula=r"I_j = \mathbb{E}_x \left| \sum_t a_{tj} \frac{\partial \mathcal{L}(x)}{\partial a_{tj}} \right|",
        chooses=(),
    )
    Options = FfnPruningOptions
    part = "ffn"
    things = "neurons"

    options: FfnPruningOptions

    @property
    def calibration_batches(self) -> int:
        """As its options say; weights need none."""
        return self.options.batches if self.options.importance == "gradients" else 0

    def importance(self, student: Bert, batches: Iterable[Batch]) -> list[Tensor]:
        """First order, or by the weights."""
        if self.options.importance == "weights":
            return weight_norm_importance(student)
        return first_order_importance(student, self.part, batches)
