"""Every method's whole loss, weights and sums included, against numpy written from its paper; its gradient as well.

The oracle gets what two models computed (logits, hidden states, scores, queries, keys, values), which other tests hold
equal to the library's, and adds the loss up by hand. Tiny models in float64, their biases and gains far from trivial.
"""

import math
import sys

import numpy as np
import pytest
import torch

from engine.methods.base import Method
from engine.methods.registry import METHODS
from engine.model.new_head import with_pooler
from engine.tasks.batches import TaskBatch
from engine.text.sentence_pairs import PairBatch
from tests.fixtures.builders import masked_batch, randomise, teacher, tokenizer

TEACHER = {"layers": 4, "hidden": 16, "heads": 4, "ffn": 24}
NARROW = {"layers": 2, "hidden": 8, "heads": 4, "ffn": 12}  # a student of another width
SEEN = ("hidden", "scores", "query", "key", "value")


def softmax(row):
    """Of one list of numbers."""
    powers = np.exp(np.asarray(row) - np.max(row))
    return powers / powers.sum()


def kl(teacher_row, student_row):
    """KL(softmax(teacher) || softmax(student)), in nats."""
    p, q = softmax(teacher_row), softmax(student_row)
    return float(sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True)))


class Seen:
    """What a student and its teacher computed on a batch, as numpy, and the means that a loss is taken over."""

    def __init__(self, method, student, guide, batch):
        self.batch, self.student = batch, student
        bert = getattr(student, "bert", student)  # without what a method puts around it
        types = getattr(batch, "types", None)
        self.s = {name: [] for name in SEEN} | ({"pair": []} if isinstance(batch, PairBatch) else {})
        self.t = {name: [] for name in SEEN}
        with torch.no_grad():
            if isinstance(batch, TaskBatch):
                self.sz = student(batch.ids, batch.visible, types, self.s).numpy()
                self.tz = guide(batch.ids, batch.visible, types, self.t).numpy()
            else:
                self.sz = bert(batch.ids, batch.visible, types, trace=self.s).numpy()
                self.tz = guide(batch.ids, batch.visible, trace=self.t).numpy()
        for side in (self.s, self.t):
            for name, tensors in side.items():
                side[name] = [tensor.numpy() for tensor in tensors]
        visible = batch.visible.numpy()
        self.lengths = visible.sum(1)
        self.places = [divmod(int(place), visible.shape[1]) for place in batch.positions]
        self.hidden_words = np.bincount([row for row, _ in self.places], minlength=len(visible))

    def over_hidden(self, of_place):
        """The mean over hidden words of `of_place(row, pos, index)`."""
        return np.mean([of_place(row, pos, index) for index, (row, pos) in enumerate(self.places)])

    def over_words(self, of_word):
        """The mean over each row's words (not [CLS], [SEP], padding), rows weighted by their hidden words."""
        rows = [np.mean([of_word(row, pos) for pos in range(1, length - 1)]) for row, length in enumerate(self.lengths)]
        return np.average(rows, weights=self.hidden_words)

    def mlm(self):
        """Cross-entropy of the hidden words."""
        return self.over_hidden(lambda r, p, i: -math.log(softmax(self.sz[r, p])[self.batch.targets[i]]))

    def soft(self, temperature, mean):
        """T^2 KL, `mean` over words or hidden words."""
        return mean(lambda r, p, *_: temperature**2 * kl(self.tz[r, p] / temperature, self.sz[r, p] / temperature))

    def relation(self, name, layer, heads):
        """KL of softmax(X X^T / sqrt(d)) of a teacher layer and the student's last, heads joined and cut anew."""
        sides = []
        for side, at in ((self.t, layer), (self.s, -1)):
            x = side[name][at]  # (row, head, pos, head_dim)
            joined = x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)
            sides.append(np.split(joined, heads, axis=-1))

        def of_word(row, pos):
            seen = range(self.lengths[row])
            each = []
            for big, small in zip(*sides, strict=True):
                theirs, ours = (
                    [float(x[row, pos] @ x[row, k]) / math.sqrt(x.shape[-1]) for k in seen] for x in (big, small)
                )
                each.append(kl(theirs, ours))
            return np.mean(each)

        return self.over_words(of_word)


def distilbert(seen, soft, hard, angle, temperature):
    """5 T^2 KL at every word + 2 masked-LM + 1 (1 - cos of the last hidden states)."""

    def turned(row, pos):
        a, b = seen.s["hidden"][-1][row, pos], seen.t["hidden"][-1][row, pos]
        return 1 - a @ b / math.sqrt((a @ a) * (b @ b))

    return soft * seen.soft(temperature, seen.over_words) + hard * seen.mlm() + angle * seen.over_words(turned)


def tinybert(seen, attention, states, hard):
    """Sum over student layers of the squared errors of scores, and with embeddings of states behind one matrix.

    Two layers out of four: layer m imitates layer 2 m, embeddings imitate embeddings.
    """
    matrix = seen.student.projection.weight.detach().numpy()
    total = hard * seen.mlm()
    for ours, theirs in ((0, 1), (1, 3)):

        def scored(row, pos, ours=ours, theirs=theirs):
            seen_by, each = range(seen.lengths[row]), []
            for head in range(4):
                a, b = (side["scores"][m][row, head, pos] for side, m in ((seen.s, ours), (seen.t, theirs)))
                each.append(np.mean([(a[k] - b[k]) ** 2 for k in seen_by]))
            return np.mean(each)

        total += attention * seen.over_words(scored)
    for ours, theirs in ((0, 0), (1, 2), (2, 4)):
        total += states * seen.over_words(
            lambda row, pos, ours=ours, theirs=theirs: np.mean(
                (matrix @ seen.s["hidden"][ours][row, pos] - seen.t["hidden"][theirs][row, pos]) ** 2
            )
        )
    return total


def minilm(seen, hard):
    """KL of the last layers' attention + KL of their value relations, as many relation heads as heads."""

    def looked(row, pos):
        within = slice(0, seen.lengths[row])
        return np.mean(
            [kl(seen.t["scores"][-1][row, h, pos, within], seen.s["scores"][-1][row, h, pos, within]) for h in range(4)]
        )

    return seen.over_words(looked) + seen.relation("value", -1, 4) + hard * seen.mlm()


def minilmv2(seen, layer, heads, hard):
    """KL of query, key and value relations of one teacher layer, all with weight 1."""
    return sum(seen.relation(name, layer, heads) for name in ("query", "key", "value")) + hard * seen.mlm()


def pkd(seen, soft, patient, temperature):
    """(1 - a) CE + a T^2 KL + b mean squared difference of normalised [CLS] states: layer 1 imitates layer 2."""
    rows = range(len(seen.sz))
    labels = np.mean([-math.log(softmax(seen.sz[row])[seen.batch.targets[row]]) for row in rows])
    softened = np.mean([kl(seen.tz[row] / temperature, seen.sz[row] / temperature) for row in rows]) * temperature**2
    apart = []
    for row in rows:
        a, b = seen.s["hidden"][1][row, 0], seen.t["hidden"][2][row, 0]
        apart.append((a / math.sqrt(a @ a) - b / math.sqrt(b @ b)) ** 2)
    return (1 - soft) * labels + soft * softened + patient * np.mean(apart)


def albert(seen, soft=0.0, temperature=1.0):
    """Masked-LM, some of it soft, + the order of two segments, rows weighted by their hidden words."""
    total = (1 - soft) * seen.mlm()
    if soft:
        total += soft * seen.soft(temperature, seen.over_hidden)
    if "pair" in seen.s:
        wrong = [
            -math.log(softmax(row)[label]) for row, label in zip(seen.s["pair"][0], seen.batch.labels, strict=True)
        ]
        total += np.average(wrong, weights=seen.hidden_words)
    return total


def adapt(seen, anchor, guide):
    """Masked-LM + a (1 - cos) of mean last hidden states, the original's on the text with nothing hidden."""
    plain = seen.batch.ids.clone()
    for (row, pos), word in zip(seen.places, seen.batch.targets, strict=True):
        plain[row, pos] = word
    with torch.no_grad():
        original = guide.encode(plain, seen.batch.visible).numpy()
    turned = []
    for row, length in enumerate(seen.lengths):
        a, b = seen.s["hidden"][-1][row, :length].mean(0), original[row, :length].mean(0)
        turned.append(1 - a @ b / math.sqrt((a @ a) * (b @ b)))
    return seen.mlm() + anchor * np.average(turned, weights=seen.hidden_words)


def masked_lm(seen, guide=None):
    """Nothing else."""
    return seen.mlm()


# method, its options, what is asked of the student, the paper's loss with these numbers in it
CASES = {
    "wid": ("wid", {}, NARROW, masked_lm),
    "scratch": ("scratch", {}, NARROW, masked_lm),
    "soft targets": (
        "soft_targets",
        {"share": 0.3, "temperature": 3.0},
        NARROW,
        lambda seen: 0.3 * seen.soft(3.0, seen.over_hidden) + 0.7 * seen.mlm(),
    ),
    "distilbert, as published": ("distilbert", {}, {"layers": 2}, lambda seen: distilbert(seen, 5, 2, 1, 2)),
    "distilbert": (
        "distilbert",
        {"soft": 0.5, "hard": 0.7, "angle": 3.0, "temperature": 4.0},
        {"layers": 2},
        lambda seen: distilbert(seen, 0.5, 0.7, 3, 4),
    ),
    "tinybert, as published": ("tinybert", {"hard": 0.0}, NARROW, lambda seen: tinybert(seen, 1, 1, 0)),
    "tinybert": (
        "tinybert",
        {"attention": 0.3, "states": 2.0, "hard": 0.7},
        NARROW,
        lambda seen: tinybert(seen, 0.3, 2, 0.7),
    ),
    "minilm, as published": ("minilm", {"hard": 0.0}, NARROW, lambda seen: minilm(seen, 0)),
    "minilm": ("minilm", {"hard": 0.7}, NARROW, lambda seen: minilm(seen, 0.7)),
    "minilmv2, as published": ("minilmv2", {"hard": 0.0}, NARROW | {"heads": 2}, lambda seen: minilmv2(seen, -1, 8, 0)),
    "minilmv2": (
        "minilmv2",
        {"hard": 0.7, "relation_heads": 2, "teacher_layer": 2},
        NARROW,
        lambda seen: minilmv2(seen, 1, 2, 0.7),
    ),
    "pkd, as published": ("pkd", {}, {"layers": 2}, lambda seen: pkd(seen, 0.7, 500, 10)),
    "pkd": (
        "pkd",
        {"soft": 0.2, "patient": 10.0, "temperature": 5.0},
        {"layers": 2},
        lambda seen: pkd(seen, 0.2, 10, 5),
    ),
    "albert": ("albert", {"pairs": "sop"}, NARROW, albert),
    "albert with a teacher": (
        "albert",
        {"pairs": "none", "soft": 0.3, "temperature": 3.0},
        NARROW,
        lambda seen: albert(seen, 0.3, 3),
    ),
    "adapt": ("adapt", {"anchor": 2.5}, {}, lambda seen, guide: adapt(seen, 2.5, guide)),
    "head pruning": ("head_pruning", {}, {}, masked_lm),
    "ffn pruning": ("ffn_pruning", {}, {}, masked_lm),
    "low rank": ("low_rank", {}, {}, masked_lm),
    "magnitude": ("magnitude", {}, {}, masked_lm),
    "int8": ("int8", {}, {}, masked_lm),
}


def brought_along(kind):
    """How a method's loss is added up that has no oracle here: as its file says, or masked-LM, if it has no other.

    `loss_by_hand(seen, options)` in that file gets what a Seen holds and adds up numpy numbers.
    """
    by_hand = getattr(sys.modules[kind.__module__], "loss_by_hand", None)
    if by_hand is not None:
        return lambda seen: by_hand(seen, kind.Options())
    return masked_lm if kind.losses is Method.losses else None


HERE = {kind for kind, *_ in CASES.values()}
for name, kind in METHODS.items():
    if name not in HERE and (oracle := brought_along(kind)) is not None:
        narrow = {"layers": 2} if kind.about.chooses == ("layers",) else NARROW if kind.about.chooses else {}
        CASES[name] = (name, {}, narrow, oracle)


def setting(name):
    """(method, student, guide, batch) of a case, in float64."""
    kind, options, wanted, _ = CASES[name]
    kind = METHODS[kind]
    method: Method = kind(kind.Options(**options), 100)
    big, batch = teacher(**TEACHER), masked_batch(size=3, length=9)
    student = randomise(method.init_student(big, method.student_shape(big.shape, wanted), 0), seed=3)
    guide = big
    if method.task.classes:  # a teacher that tells the same classes apart
        pooled = randomise(with_pooler(big, 0), seed=4)
        guide = randomise(method.init_student(pooled, pooled.shape.replace(mlm_head=False, tied=True), 1), seed=5)
        batch = method.task.open_data("microworld", tokenizer(), 64, 10, None).batch(0, 3, 0)
    elif method.task.pairs != "none":
        types = torch.zeros_like(batch.ids)
        types[:, 3:] = 1
        batch = PairBatch(*vars(batch).values(), types * batch.visible, torch.tensor([1, 0, 1]))
    for module in (student, guide):
        module.double()
    return method, student.eval(), guide.eval().requires_grad_(False), batch


def test_every_method_has_a_case():
    """Harm: a new method whose loss nobody has added up. It brings `loss_by_hand` in its own file."""
    assert {kind for kind, *_ in CASES.values()} == set(METHODS)


@pytest.mark.usefixtures("few_held_out")
@pytest.mark.parametrize("name", CASES)
def test_the_whole_loss_is_the_papers_by_hand(name):
    """Harm: a weight on the wrong term, a layer off by one, T squared forgotten, a mean where the paper has a sum."""
    method, student, guide, batch = setting(name)
    terms = method.losses(student, guide, batch)
    seen, oracle = Seen(method, student, guide, batch), CASES[name][3]
    expected = oracle(seen, guide) if method.about.adds_head else oracle(seen)
    assert float(sum(terms.values()).detach()) == pytest.approx(expected, rel=1e-9)
    assert expected > 0.1


@pytest.mark.usefixtures("few_held_out")
@pytest.mark.parametrize(
    "name", [name for name in CASES if name != "int8"]
)  # straight-through: no gradient of its value
def test_its_gradient_is_that_of_its_value(name):
    """Harm: a loss that is charted right and followed wrong: a detached term, a teacher that learns."""
    method, student, guide, batch = setting(name)
    learned = [p for p in student.parameters() if p.requires_grad]
    generator = torch.Generator().manual_seed(0)
    ways = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in learned]

    def value(far):
        """The loss after a step of this size on the way, and back."""
        with torch.no_grad():
            for p, way in zip(learned, ways, strict=True):
                p.add_(way, alpha=far)
            found = float(sum(method.losses(student, guide, batch).values()))
            for p, way in zip(learned, ways, strict=True):
                p.sub_(way, alpha=far)
        return found

    gradients = torch.autograd.grad(sum(method.losses(student, guide, batch).values()), learned)
    slope = float(sum((g * way).sum() for g, way in zip(gradients, ways, strict=True)))
    assert slope == pytest.approx((value(1e-6) - value(-1e-6)) / 2e-6, rel=1e-5)
    assert abs(slope) > 1e-3


@pytest.mark.usefixtures("few_held_out")
@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("pkd")])
def test_what_stands_at_padding_never_counts(name):
    """Harm: a student that learns from how long the longest text of its batch happened to be."""
    method, student, guide, batch = setting(name)
    rest = list(vars(batch).values())
    rest[0] = torch.where(batch.visible, batch.ids, torch.full_like(batch.ids, 17))
    with torch.no_grad():
        one, two = (method.losses(student, guide, it) for it in (batch, type(batch)(*rest)))
    assert not torch.equal(batch.ids, rest[0])
    for term, value in one.items():
        assert float(two[term]) == pytest.approx(float(value), rel=1e-12), term
