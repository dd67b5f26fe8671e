"""Every loss against a loop written from its paper, in float64, its gradient checked numerically."""

import math

import numpy as np
import pytest
import torch

from engine.learning import losses
from engine.text.masking import Batch

ROWS, LONG, HEADS, WIDE = 3, 6, 2, 4
LENGTHS = (6, 5, 3)  # [CLS] words [SEP]; the rest is padding


def batch():
    """Three rows of several lengths with 2, 1 and 1 hidden words."""
    visible = torch.tensor([[place < length for place in range(LONG)] for length in LENGTHS])
    positions = torch.tensor([1, 3, LONG + 2, 2 * LONG + 1])
    return Batch(torch.zeros(ROWS, LONG, dtype=torch.int64), visible, positions, torch.zeros(4, dtype=torch.int64))


def random(*size, seed=0):
    """Random float64 numbers."""
    return torch.randn(*size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def mean(of_word):
    """By the rule in losses.py: mean over each row's words, rows weighted by their hidden words."""
    rows = []
    for row, length in enumerate(LENGTHS):
        rows.append(np.mean([of_word(row, place) for place in range(1, length - 1)]))
    return float(np.average(rows, weights=[2, 1, 1]))


def softmax(scores):
    """Of a list of numbers."""
    exponentials = [math.exp(score - max(scores)) for score in scores]
    return [value / sum(exponentials) for value in exponentials]


def kl(teacher, student):
    """KL(softmax(teacher) || softmax(student)) of two lists."""
    return sum(p * math.log(p / q) for p, q in zip(softmax(teacher), softmax(student), strict=True))


def masked(scores, of=None):
    """Attention scores with padding hidden, as the model gives them."""
    return scores.masked_fill(~(of or batch()).visible[:, None, None, :], torch.finfo(scores.dtype).min)


def relations(x, heads, row, place, length):
    """Scaled products of `place` with every visible position, one list a relation head."""
    joined = x[row].transpose(0, 1).reshape(LONG, -1)  # (pos, heads x head_dim)
    each = joined.shape[1] // heads
    found = []
    for head in range(heads):
        part = joined[:, head * each : (head + 1) * each]
        found.append([float(part[place] @ part[other]) / math.sqrt(each) for other in range(length)])
    return found


def test_attention_divergence():
    """Harm: MiniLM with KL the wrong way round, or with padding among the words."""
    ours, theirs = random(ROWS, HEADS, LONG, LONG, seed=1), random(ROWS, HEADS, LONG, LONG, seed=2)

    def of_word(row, place):
        seen = slice(0, LENGTHS[row])
        return np.mean(
            [kl(theirs[row, h, place, seen].tolist(), ours[row, h, place, seen].tolist()) for h in range(HEADS)]
        )

    found = losses.attention_kl(masked(ours), masked(theirs), batch())
    assert float(found) == pytest.approx(mean(of_word))


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_relation_divergence(heads):
    """Harm: MiniLMv2 whose relation heads mix dims of different heads in another order than the paper's."""
    ours, theirs = random(ROWS, HEADS, LONG, WIDE, seed=1), random(ROWS, 4, LONG, 3, seed=2)

    def of_word(row, place):
        pairs = zip(
            relations(theirs, heads, row, place, LENGTHS[row]),
            relations(ours, heads, row, place, LENGTHS[row]),
            strict=True,
        )
        return np.mean([kl(teacher, student) for teacher, student in pairs])

    found = losses.relation_kl(ours, theirs, heads, batch())
    assert float(found) == pytest.approx(mean(of_word))


def test_score_error():
    """Harm: TinyBERT that learns the number which stands for padding."""
    ours, theirs = random(ROWS, HEADS, LONG, LONG, seed=1), random(ROWS, HEADS, LONG, LONG, seed=2)

    def of_word(row, place):
        seen = range(LENGTHS[row])
        return np.mean(
            [float(ours[row, h, place, k] - theirs[row, h, place, k]) ** 2 for h in range(HEADS) for k in seen]
        )

    assert float(losses.attention_score_mse(masked(ours), masked(theirs), batch())) == pytest.approx(mean(of_word))


def test_state_error_and_angle():
    """Harm: hidden states compared by another measure than the papers'."""
    ours, theirs = random(ROWS, LONG, WIDE, seed=1), random(ROWS, LONG, WIDE, seed=2)

    def square(row, place):
        return np.mean([(float(a) - float(b)) ** 2 for a, b in zip(ours[row, place], theirs[row, place], strict=True)])

    def angle(row, place):
        a, b = ours[row, place].numpy(), theirs[row, place].numpy()
        return 1 - sum(a * b) / math.sqrt(sum(a * a) * sum(b * b))

    assert float(losses.hidden_state_mse(ours, theirs, batch())) == pytest.approx(mean(square))
    assert float(losses.hidden_state_cosine(ours, theirs, batch())) == pytest.approx(mean(angle))


def test_softened():
    """Harm: soft targets that lose their gradient as the temperature rises."""
    ours, theirs = random(2, 5, seed=1), random(2, 5, seed=2)
    found = losses.distillation_kl(ours, theirs, 2.0)
    for row in range(2):
        expected = 4 * kl((theirs[row] / 2).tolist(), (ours[row] / 2).tolist())
        assert float(found[row]) == pytest.approx(expected)


def test_patience():
    """Harm: PKD whose states are compared at their own lengths, or summed where its weight belongs to a mean."""
    ours, theirs = random(2, ROWS, WIDE, seed=1), 3 * random(2, ROWS, WIDE, seed=2)

    def apart(layer, row):
        a, b = ours[layer, row].tolist(), theirs[layer, row].tolist()
        long, far = math.sqrt(sum(x * x for x in a)), math.sqrt(sum(x * x for x in b))
        return [(x / long - y / far) ** 2 for x, y in zip(a, b, strict=True)]

    expected = np.mean([apart(layer, row) for layer in range(2) for row in range(ROWS)])
    assert float(losses.patience_loss(ours, theirs)) == pytest.approx(expected)
    assert float(losses.patience_loss(5 * ours, theirs)) == pytest.approx(expected)  # no length counts


def test_over_rows():
    """Harm: a sentence-order loss in which a short row weighs as much as a long one: its parts do not add up."""
    assert float(losses.mean_over_rows(torch.tensor([1.0, 10.0, 100.0]), batch())) == pytest.approx((2 + 10 + 100) / 4)


LOSSES = {
    "patience": (lambda s, t, b: losses.patience_loss(s, t), (2, ROWS, WIDE)),
    "soft targets": (lambda s, t, b: losses.mean_over_words(losses.distillation_kl(s, t, 3.0), b), (ROWS, LONG, WIDE)),
    "attention": (
        lambda s, t, b: losses.attention_kl(masked(s, b), masked(t, b), b),
        (ROWS, HEADS, LONG, LONG),
    ),
    "relations": (lambda s, t, b: losses.relation_kl(s, t, 2, b), (ROWS, HEADS, LONG, WIDE)),
    "scores": (lambda s, t, b: losses.attention_score_mse(masked(s, b), masked(t, b), b), (ROWS, HEADS, LONG, LONG)),
    "states": (losses.hidden_state_mse, (ROWS, LONG, WIDE)),
    "angle": (losses.hidden_state_cosine, (ROWS, LONG, WIDE)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_the_values(name):
    """Harm: a loss that is charted right and followed wrong."""
    loss, size = LOSSES[name]
    student = random(*size, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, random(*size, seed=2), batch()), [student])


@pytest.mark.parametrize("name", LOSSES)
def test_a_student_that_is_its_teacher_has_no_loss(name):
    """Harm: a floor under the curve that no student can break."""
    loss, size = LOSSES[name]
    teacher = random(*size, seed=2)
    assert float(loss(teacher, teacher, batch())) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", ["states", "angle", "relations", "soft targets", "scores", "attention"])
def test_padding_and_special_tokens_never_count(name):
    """Harm: a student that is taught what to think of padding; most of a short row is nothing else."""
    loss, size = LOSSES[name]
    student, teacher = random(*size, seed=1).requires_grad_(), random(*size, seed=2)
    loss(student, teacher, batch()).backward()
    gradient = student.grad if len(size) == 3 else student.grad.transpose(1, 2)  # (batch, pos, ...): words that look
    for row, length in enumerate(LENGTHS):
        if length < LONG:
            assert gradient[row, length:].abs().max() == 0
        if name in ("scores", "attention"):  # nor are they looked at
            assert student.grad[row, ..., length:].abs().sum() == 0
            assert student.grad[row, :, 1, 0].abs().max() > 0  # [CLS] is looked at
        if name != "relations":  # a relation's other side may be a special token
            assert gradient[row, 0].abs().max() == 0
            assert gradient[row, length - 1].abs().max() == 0
        assert gradient[row, 1].abs().max() > 0


@pytest.mark.parametrize("name", ["states", "angle", "relations", "soft targets", "scores", "attention"])
def test_parts_of_a_batch_add_up(name):
    """Harm: micro-batches, or two processes, minimise another loss than one process with the whole batch."""
    loss, size = LOSSES[name]
    student, teacher, whole = random(*size, seed=1), random(*size, seed=2), batch()
    total, rows = 0.0, [slice(0, 1), slice(1, 3)]
    for part, here in zip(whole.split(2), rows, strict=True):
        assert len(part.ids) == here.stop - here.start
        total += float(loss(student[here], teacher[here], part)) * len(part.targets) / len(whole.targets)
    assert total == pytest.approx(float(loss(student, teacher, whole)))
