"""What single distillation methods promise: weights, layers, heads, presets, refusals."""

import re

import numpy as np
import pytest
import torch

from engine.learning.losses import distillation_kl
from engine.methods.registry import METHODS
from engine.methods.soft_targets import SoftTargets, SoftTargetsOptions
from engine.model.bert import Bert
from engine.settings.options import parse_options
from engine.sizing.shape import Shape, ShapeError
from tests.fixtures.builders import STEPS, masked_batch, randomise, teacher, wanted_of

pytestmark = pytest.mark.usefixtures("few_held_out")


def softmax(logits):
    """Row by row, in float64."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 10.0])
def test_soft_target_loss_is_hintons_formula(temperature):
    """Harm: KL the wrong way round, summed instead of averaged, or without T squared."""
    rng = np.random.default_rng(0)
    student, guide = rng.normal(0, 3, (7, 11)), rng.normal(0, 3, (7, 11))
    p, q = softmax(guide / temperature), softmax(student / temperature)
    expected = temperature**2 * np.mean([sum(p[i] * (np.log(p[i]) - np.log(q[i]))) for i in range(7)])
    found = distillation_kl(torch.from_numpy(student), torch.from_numpy(guide), temperature).mean()
    assert float(found) == pytest.approx(expected, rel=1e-10)
    assert float(
        distillation_kl(torch.from_numpy(guide), torch.from_numpy(guide), temperature).mean()
    ) == pytest.approx(0)


def test_soft_target_gradient_is_the_losses_own():
    """Harm: a loss that is charted right and learned wrong."""
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(3, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    guide = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda logits: distillation_kl(logits, guide, 2.0), [student])


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_soft_and_hard_loss_are_weighted_as_asked(share):
    """Harm: the slider between teacher and truth does something else."""
    guide, student, batch = teacher(), randomise(Bert(teacher().shape), seed=8), masked_batch()
    terms = SoftTargets(SoftTargetsOptions(temperature=3.0, share=share), 10).losses(student, guide, batch)
    with torch.no_grad():
        mine, theirs = (model(batch.ids, batch.visible).flatten(0, 1)[batch.positions] for model in (student, guide))
    truth = batch.targets.numpy()
    hard = -np.log(softmax(mine.numpy().astype(np.float64))[np.arange(len(truth)), truth]).mean()
    p, q = (softmax(x.numpy().astype(np.float64) / 3.0) for x in (theirs, mine))
    soft = 9 * (p * np.log(p / q)).sum(1).mean()
    assert float(terms["masked-LM"].detach()) == pytest.approx((1 - share) * hard, rel=1e-4, abs=1e-6)
    assert float(terms["soft targets"].detach()) == pytest.approx(share * soft, rel=1e-4, abs=1e-6)
    assert not any(parameter.grad is not None for parameter in guide.parameters())


@pytest.mark.parametrize(
    ("name", "options", "wanted", "says"),
    [
        ("distilbert", {}, {"hidden": 16}, "choose fewer layers"),
        ("tinybert", {}, {"heads": 2}, "use 4 heads"),
        ("tinybert", {}, {"layers": 3}, "use 2 or 4 layers"),
        ("minilm", {}, {"hidden": 24, "heads": 6}, "use 4 heads at hidden 24, or MiniLMv2"),
        ("minilmv2", {"relation_heads": 5}, {}, "use one of 1, 2, 4"),
        ("minilmv2", {"teacher_layer": 9}, {}, "has 4 layers"),
    ],
)
def test_what_a_paper_cannot_do_is_refused_with_what_works(name, options, wanted, says):
    """Harm: a broadcast instead of a comparison, or an error that tells nobody what to choose."""
    kind = METHODS[name]
    method = kind(parse_options(kind.Options, options), STEPS)
    with pytest.raises(ShapeError, match=says):
        method.student_shape(Shape(layers=4, hidden=32, heads=4), wanted)


@pytest.mark.parametrize("name", ["tinybert", "minilm"])
@pytest.mark.parametrize(("hidden", "heads"), [(35, 5), (38, 2), (3, 3), (6, 6), (42, 3)])
def test_the_shape_that_a_refusal_names_works_and_is_the_nearest(name, hidden, heads):
    """Harm: advice that is refused in turn, or that throws away more width than it has to."""
    method, big = METHODS[name](METHODS[name].Options(), STEPS), Shape(layers=4, hidden=64, heads=4)
    with pytest.raises(ShapeError) as caught:
        method.student_shape(big, {"hidden": hidden, "heads": heads})
    advised = int(re.search(r"use 4 heads at hidden (\d+)", str(caught.value)).group(1))
    assert method.student_shape(big, {"hidden": advised, "heads": 4}).hidden == advised
    assert abs(advised - hidden) == min(abs(width - hidden) for width in range(4, 65, 4))


def test_minilmv2_bridges_different_heads(knowing, corpus):
    """Harm: the one method that needs no equal heads asks for them all the same."""
    kind = METHODS["minilmv2"]
    method = kind(kind.Options(), STEPS)
    shape = method.student_shape(knowing.shape, {"hidden": 24, "heads": 3})
    student = method.init_student(knowing, shape, 0)
    assert method.notes(knowing.shape, shape) == ["It imitates the teacher's layer 2 in 8 relation heads."]
    assert method.heads(32, 24) == 8  # the largest that divides both
    assert all(term.isfinite() for term in method.losses(student, knowing, corpus.batch(0, 8, 0)).values())


def test_distilbert_starts_from_layers_of_its_teacher(knowing):
    """Harm: a student "initialised from the teacher" that is not: with every layer it must compute the same."""
    kind = METHODS["distilbert"]
    method = kind(kind.Options(), STEPS)
    shape = method.student_shape(knowing.shape, {"layers": 2})
    assert shape.token_types == 0
    student, batch = method.init_student(knowing, shape, 0), masked_batch()
    torch.testing.assert_close(student(batch.ids, batch.visible), knowing(batch.ids, batch.visible), rtol=0, atol=1e-5)
    assert method.student_shape(Shape(layers=12), {}).layers == 6


@pytest.mark.parametrize("name", ["tinybert", "minilm", "minilmv2"])
def test_the_papers_own_preset_teaches_no_head(name, knowing, corpus):
    """Harm: a preset called `paper` whose loss is another than the paper's."""
    kind = METHODS[name]
    method = kind(parse_options(kind.Options, kind.about.presets["paper"]), STEPS)
    student = method.init_student(knowing, method.student_shape(knowing.shape, wanted_of(kind)), 0)
    terms = method.losses(student, knowing, corpus.batch(0, 8, 0))
    assert terms["masked-LM"].item() == 0
    assert sum(term.item() > 0 for term in terms.values()) == len(terms) - 1


@pytest.mark.parametrize(
    ("name", "layers", "says"),
    [
        (
            "distilbert",
            6,
            "It starts from the teacher's layers 1, 3, 5, 8, 10, 12.",
        ),  # 0, 2, 4, 7, 9, 11 in the release
        ("tinybert", 4, "Its layers 1 to 4 imitate its teacher's 3, 6, 9, 12; its embeddings imitate the embeddings."),
        ("minilm", 6, "Its last layer, 6, imitates its teacher's last, 12; the others are free."),
    ],
)
def test_which_layers_meet_is_said(name, layers, says):
    """Harm: a layer map that nobody can see, the commonest complaint about distillation."""
    method, base = METHODS[name](METHODS[name].Options(), STEPS), Shape()
    assert says in method.notes(base, method.student_shape(base, {"layers": layers}))
