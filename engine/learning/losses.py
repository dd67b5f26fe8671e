"""Losses as plain functions of tensors: masked-LM, and those by which a student imitates a teacher.

Every imitation loss is a mean over the words of each row; padding, [CLS] and the closing [SEP] do not count as words
that look or are compared (though words may look at them). Rows weigh as much as they have hidden words, about as much
as they are long: so the parts of a batch, weighted likewise, add up to the whole, and no part has to know the others.

Axes: batch head pos hidden head_dim vocab. Knows nothing of methods.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.text.masking import Batch


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in float32 at least: half precision is for products, not for logarithms and sums."""
    return x if x.dtype == torch.float64 else x.float()


def word_mask(visible: Tensor) -> Tensor:
    """Which positions (batch, pos) are words: visible, neither a row's first token ([CLS]) nor its last ([SEP])."""
    last = visible.roll(-1, 1) & visible  # visible, and so is the next one
    last[:, -1] = False
    last[:, 0] = False
    return last


def mean_over_words(values: Tensor, batch: Batch) -> Tensor:
    """The mean of `values` (batch, pos) over each row's words, rows weighted by their hidden words. Scalar."""
    counts = word_mask(batch.visible).to(values.dtype)
    return mean_over_rows((values * counts).sum(1) / counts.sum(1).clamp(min=1), batch)


def mean_over_rows(values: Tensor, batch: Batch) -> Tensor:
    """The mean of `values` (batch,), rows weighted by their hidden words. Scalar."""
    hidden = torch.zeros_like(values).index_add_(
        0, batch.positions // batch.ids.shape[1], torch.ones_like(batch.positions, dtype=values.dtype)
    )
    return (values * hidden).sum() / hidden.sum()


def masked_lm_loss(student: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy of the hidden tokens, their mean (BERT, section 3.1). Scalar, in nats."""
    logits = student(batch.ids, batch.visible, positions=batch.positions)  # (n, vocab)
    return F.cross_entropy(at_least_float32(logits), batch.targets)


def weighted_masked_lm_loss(weight: float, logits: Tensor, targets: Tensor) -> Tensor:
    """The masked-LM loss with its weight. Scalar, in nats.

    With a weight of 0 `logits` (n, vocab) may be of no position at all (see `positions_needed`).
    """
    logits = at_least_float32(logits)
    return weight * F.cross_entropy(logits, targets) if weight else 0.0 * logits.sum()


def positions_needed(weight: float, batch: Batch) -> Tensor:
    """The positions (n,) at which a masked-LM loss of this weight needs logits.

    None with a weight of 0: the head then computes nothing, and its parameters still take part in the step.
    """
    return batch.positions if weight else batch.positions[:0]


def kl_divergence(student_scores: Tensor, teacher_scores: Tensor) -> Tensor:
    """KL(softmax(teacher) || softmax(student)) over the last axis, in nats: (..., n) and (..., n) -> (...)."""
    student_log, teacher_log = student_scores.log_softmax(-1), teacher_scores.log_softmax(-1)
    return F.kl_div(student_log, teacher_log, reduction="none", log_target=True).sum(-1)


def distillation_kl(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)) a position: (..., vocab) -> (...).

    T^2 keeps the gradient's size the same at every temperature (Hinton et al. 2015, arXiv 1503.02531, section 2).
    """
    return temperature**2 * kl_divergence(
        at_least_float32(student_logits) / temperature, at_least_float32(teacher_logits) / temperature
    )


def attention_kl(student_scores: Tensor, teacher_scores: Tensor, batch: Batch) -> Tensor:
    """KL of attention, teacher against student, mean over heads and words that look (MiniLM, arXiv 2002.10957, eq. 4).

    Scores before the softmax, (batch, head, pos, pos), at padding the lowest number there is.
    """
    return mean_over_words(
        kl_divergence(at_least_float32(student_scores), at_least_float32(teacher_scores)).mean(1), batch
    )


def relation_kl(student: Tensor, teacher: Tensor, heads: int, batch: Batch) -> Tensor:
    """KL of self-relations softmax(X X^T / sqrt(d)), teacher against student (MiniLM eq. 6; MiniLMv2, eq. 4).

    X is queries, keys or values, (batch, head, pos, head_dim); its heads are joined and cut anew into `heads` relation
    heads, so both sides may have as many heads and dims as they like, if only `heads` divides their inner widths.
    """
    return mean_over_words(
        kl_divergence(_relations(student, heads, batch.visible), _relations(teacher, heads, batch.visible)).mean(1),
        batch,
    )


def _relations(x: Tensor, heads: int, visible: Tensor) -> Tensor:
    """Scaled products of every position with every other, (batch, relation head, pos, pos); padding is unseen."""
    cut = at_least_float32(x).transpose(1, 2).flatten(2).unflatten(-1, (heads, -1)).transpose(1, 2)
    scores = cut @ cut.transpose(-1, -2) * cut.shape[-1] ** -0.5
    return scores.masked_fill(~visible[:, None, None, :], torch.finfo(scores.dtype).min)


def attention_score_mse(student_scores: Tensor, teacher_scores: Tensor, batch: Batch) -> Tensor:
    """Mean squared difference of attention scores before the softmax (TinyBERT, arXiv 1909.10351, eq. 7).

    (batch, head, pos, pos); mean over heads, over what can be looked at, over the words that look.
    """
    seen = batch.visible[:, None, None, :]
    squares = (at_least_float32(student_scores) - at_least_float32(teacher_scores)).masked_fill(~seen, 0.0).square()
    return mean_over_words((squares.sum(-1) / seen.sum(-1)).mean(1), batch)


def hidden_state_mse(student: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
    """Mean squared difference of hidden states (batch, pos, hidden) (TinyBERT eq. 8); mean over dims and words."""
    return mean_over_words((at_least_float32(student) - at_least_float32(teacher)).square().mean(-1), batch)


def hidden_state_cosine(student: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
    """1 - cosine of hidden states (batch, pos, hidden), mean over words (DistilBERT, arXiv 1910.01108, section 3)."""
    return mean_over_words(1 - F.cosine_similarity(at_least_float32(student), at_least_float32(teacher), dim=-1), batch)


def patience_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of [CLS] states (layer, batch, hidden), each brought to length 1; mean over all three.

    PKD, arXiv 1908.09355, section 3.2. The paper sums over examples and layers; its weight of 10 to 1,000 belongs to
    this mean, which the authors' release takes.
    """
    return (
        (F.normalize(at_least_float32(student), dim=-1) - F.normalize(at_least_float32(teacher), dim=-1))
        .square()
        .mean()
    )
