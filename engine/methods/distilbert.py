"""DistilBERT: half the layers of the teacher, three losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.learning.losses import at_least_float32, distillation_kl, hidden_state_cosine, mean_over_words
from engine.methods.base import Method
from engine.model.bert import Bert
from engine.model.layer_choice import choose_layers, layer_copy_objections, select_layers
from engine.settings.options import option
from engine.sizing.shape import Shape
from engine.sizing.step_flops import FORWARD_AND_BACKWARD, BatchShape, encoder_flops, mlm_head_flops
from engine.text.masking import Batch


@dataclass(frozen=True)
class DistilbertOptions:
    """Options of DistilBERT."""

    temperature: float = option(2.0, "Flattens the teacher's probabilities.", least=0.1, most=100.0)
    soft: float = option(5.0, "Weight of the soft targets.", least=0.0, most=1e3, label="weight of soft targets")
    hard: float = option(2.0, "Weight of the masked-LM loss.", least=0.0, most=1e3, label="weight of masked-LM")
    angle: float = option(
        1.0, "Weight of 1 - cosine between the last hidden states.", least=0.0, most=1e3, label="weight of the angle"
    )
    lr: float = option(5e-4, "Peak learning rate.", least=1e-7, most=1.0, label="learning rate")


class Distilbert(Method):
    """A student of the teacher's width starts from every other of its layers, without token types. It learns from
    three losses at once: the teacher's softened probabilities at every word, the true hidden words, and the angle
    between both models' last hidden states.
    """

    name = "distilbert"
    label = "DistilBERT"
    paper = "Sanh et al. 2019, DistilBERT, a distilled version of BERT, arXiv 1910.01108"
    formula = (
        r"5\,T^2\,\mathrm{KL}\!\left(\sigma(z^T/T)\,\|\,\sigma(z^S/T)\right) + 2\,\mathcal{L}_{\mathrm{MLM}} "
        r"+ 1\,(1-\cos(h^S, h^T))"
    )
    uses = ("logit", "feature", "hard", "task-agnostic")
    Options = DistilbertOptions
    inherits = True
    chooses = ("layers",)

    options: DistilbertOptions

    def student_shape(self, teacher: Shape, wanted: dict[str, Any]) -> Shape:
        """The teacher's shape with fewer layers, half of them unless chosen, and no token types."""
        layers = wanted.get("layers")
        chosen = {**wanted, "layers": max(1, teacher.layers // 2) if layers is None else layers}
        return super().student_shape(teacher, chosen).replace(token_types=0)

    def objections(self, teacher: Shape, student: Shape) -> list[str]:
        """Whole layers are taken over, so only their number can be chosen."""
        return layer_copy_objections(teacher, student, "A DistilBERT student")

    def notes(self, teacher: Shape, student: Shape) -> list[str]:
        """Which layers it starts from."""
        layers, _ = choose_layers(teacher.layers, student.layers, "spread")
        return [f"It starts from the teacher's layers {', '.join(str(layer + 1) for layer in layers)}."]

    def prepare(self, teacher: Bert, shape: Shape, seed: int) -> nn.Module:
        """The chosen layers; the first token type, which every word has here, goes into the positions."""
        layers, _ = choose_layers(teacher.shape.layers, shape.layers, "spread")
        weights = select_layers(teacher, layers).state_dict()
        if teacher.shape.token_types:
            weights["embeddings.position.weight"] = (
                weights["embeddings.position.weight"] + weights["embeddings.token_type.weight"][0]
            )
        bert = Bert(shape)
        bert.load_state_dict({name: weights[name] for name in bert.state_dict()})
        return bert

    def losses(self, student: nn.Module, teacher: Bert, batch: Batch) -> dict[str, Tensor]:
        """Soft targets over all words, masked-LM over the hidden ones, the angle of the last hidden states."""
        ours: dict[str, list[Tensor]] = {"hidden": []}
        theirs: dict[str, list[Tensor]] = {"hidden": []}
        student_logits = at_least_float32(student(batch.ids, batch.visible, trace=ours))  # (batch, pos, vocab)
        with torch.no_grad():
            teacher_logits = teacher(batch.ids, batch.visible, trace=theirs)
        options = self.options
        soft = mean_over_words(distillation_kl(student_logits, teacher_logits, options.temperature), batch)
        hard = F.cross_entropy(student_logits.flatten(0, 1)[batch.positions], batch.targets)
        return {
            "soft targets": options.soft * soft,
            "masked-LM": options.hard * hard,
            "angle": options.angle * hidden_state_cosine(ours["hidden"][-1], theirs["hidden"][-1], batch),
        }

    def pass_flops(
        self, teacher: Shape, student: Shape, work: BatchShape, step: int, network: nn.Module | None = None
    ) -> int:
        """Both models with logits at every position: its soft targets are taken at all words."""
        ours, theirs = (encoder_flops(shape, work) + mlm_head_flops(shape, work.tokens) for shape in (student, teacher))
        return FORWARD_AND_BACKWARD * ours + theirs
