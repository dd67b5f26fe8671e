"""Fresh students that imitate what attention computes: TinyBERT, MiniLM and MiniLMv2.

Their papers' losses teach no masked-LM head, so that the student could not fill in a word; an option adds the masked-LM
loss beside them.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from engine.learning.losses import positions_needed, weighted_masked_lm_loss
from engine.methods.kinds.fresh_student import FreshStudent
from engine.settings.options import option
from engine.sizing.shape import Shape
from engine.sizing.step_flops import BatchShape, encoder_flops, forward_flops
from engine.text.masking import Batch

PRESETS: dict[str, dict[str, Any]] = {"with a head": {}, "paper": {"hard": 0.0}}
PRESET_NOTES = {
    "with a head": "The paper's losses and masked-LM, so that the student can fill in words and be scored.",
    "paper": "The paper's losses alone. Nothing teaches the head: the fill-in score of the student says nothing.",
}


def masked_lm_weight() -> Any:
    """The field `hard` of a method's options."""
    return option(
        1.0,
        "Weight of the masked-LM loss. The paper has none: its student is an encoder without a head that can fill in.",
        least=0.0,
        most=1e3,
        label="weight of masked-LM",
    )


class AttentionDistillation(FreshStudent):
    """Its options have `hard`, the weight of masked-LM beside the paper's own losses."""

    def head_positions(self, batch: Batch) -> Tensor:
        """The positions (n,) at which the student needs logits; none where masked-LM has no weight."""
        return positions_needed(self.options.hard, batch)

    def masked_lm_term(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Masked-LM with its weight, also where that is 0, so that every parameter takes part in the step."""
        return {"masked-LM": weighted_masked_lm_loss(self.options.hard, logits, batch.targets)}

    def student_flops(self, student: Shape, work: BatchShape) -> int:
        """FLOPs of a forward pass of the student, with its head only where the loss reads it."""
        return forward_flops(student, work) if self.options.hard else encoder_flops(student, work)
