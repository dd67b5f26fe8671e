import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from engine.bert import Bert
from engine.checkpoints import Model, export_model
from engine.config import ConfigError, check
from engine.corpora import open_corpus
from engine.library import inexpressible
from engine.methods import METHODS, find
from engine.methods.base import SHAPE_FIELDS, adamw, fresh_optimizer, masked_lm
from engine.methods.soft_targets import SoftTargets, SoftTargetsOptions, soft_target_loss
from engine.muon import hidden_matrices
from engine.shape import Shape, ShapeError
from tests.engine.builders import masked_batch, randomise, teacher, tokenizer

pytestmark = pytest.mark.usefixtures("few_held_out")
STEPS = 30


@pytest.fixture(scope="module")
def corpus(few_held_out):
    """A little of the microworld."""
    return open_corpus("microworld", tokenizer(), 24, 200)


@pytest.fixture(scope="module")
def knowing(corpus):
    """A small teacher that has learned the microworld a little."""
    bert = teacher(hidden=32, heads=4, ffn=64)
    optimizer = adamw([(bert, 1e-2)])
    for step in range(60):
        optimizer.zero_grad()
        masked_lm(bert, corpus.batch(step, 16, 0)).backward()
        optimizer.step()
    return bert.requires_grad_(False)


@pytest.fixture(scope="module", params=METHODS)
def taught(request, corpus, knowing):
    """(method, promised shape, losses, finished student) of 30 steps of every method."""
    kind = METHODS[request.param]
    method = kind(kind.Options(), STEPS)
    shape = method.student_shape(knowing.shape, {"hidden": 16, "heads": 4, "ffn": 32})
    before = {name: tensor.clone() for name, tensor in knowing.state_dict().items()}
    student = method.prepare(knowing, shape, seed=0).requires_grad_(True)
    optimizer, losses = method.optimizer(student), []
    for step in range(1, STEPS + 1):
        terms = method.losses(student, knowing, corpus.batch(step - 1, 16, 0))
        optimizer.zero_grad()
        sum(terms.values()).backward()
        numbers = method.after_backward(student, optimizer, step)
        assert all(isinstance(value, float) for value in numbers.values())
        optimizer.step()
        assert all(term.ndim == 0 and term.isfinite() for term in terms.values())
        losses.append(float(sum(terms.values()).detach()))
    assert all(torch.equal(tensor, before[name]) for name, tensor in knowing.state_dict().items())
    return method, shape, losses, method.finish(student)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_explains_itself(name):
    """Harm: a choice on the build page that nobody can make, for it says nothing."""
    kind = METHODS[name]
    assert kind.name == name
    assert kind.label
    assert len(kind.description()) > 80
    assert not kind.description().startswith(" ")
    assert check(kind.Options()) == []
    assert kind.Options.__doc__


def test_a_finished_student_is_a_plain_bert_of_the_promised_shape(taught):
    """Harm: the count on the build page, the curve and the saved model are of three different students."""
    method, shape, _, student = taught
    assert type(student) is Bert
    assert student.shape == shape
    assert (shape.hidden, shape.heads, shape.ffn, shape.layers) == (16, 4, 32, 2)


def test_the_student_learns(taught, corpus):
    """Harm: a method that runs to the end and teaches nothing. WID starts as its teacher and loses width meanwhile."""
    method, shape, losses, student = taught
    untaught = randomise(Bert(shape), seed=5)
    with torch.no_grad():
        batch = corpus.batch(10_000, 64, 1)
        assert masked_lm(student, batch) < masked_lm(untaught, batch)
    if method.name != "wid":
        assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.1
    else:
        worst = max(losses)
        assert np.mean(losses[-3:]) < worst - 0.1


def test_a_finished_student_is_read_by_the_library(taught, tmp_path):
    """Harm: a student that lives in this app only."""
    _, _, _, student = taught
    assert not inexpressible(student.shape)
    export_model(Model(student.eval(), tokenizer(), {}), tmp_path / "out")
    theirs = AutoModelForMaskedLM.from_pretrained(tmp_path / "out", local_files_only=True).eval()
    batch = masked_batch()
    found = theirs(input_ids=batch.ids, attention_mask=batch.visible.long()).logits
    with torch.no_grad():
        ours = student(batch.ids, batch.visible)
    torch.testing.assert_close(found[batch.visible], ours[batch.visible], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_the_student_follows_its_seed(name, knowing):
    """Harm: two runs with one seed that differ before their first step."""
    kind = METHODS[name]
    method = kind(kind.Options(), STEPS)
    shape = method.student_shape(knowing.shape, {"hidden": 16, "heads": 4, "ffn": 32})
    one, two = (dict(method.prepare(knowing, shape, seed=3).named_parameters()) for _ in range(2))
    assert all(torch.equal(one[key], two[key]) for key in one | two)


@pytest.mark.parametrize("name", METHODS)
def test_what_cannot_be_chosen_or_built_is_refused(name):
    """Harm: a student whose vocabulary was "chosen", or a word where a width belongs, deep in a matrix product."""
    kind = METHODS[name]
    method, big = kind(kind.Options(), STEPS), Shape(layers=2, hidden=16, heads=4)
    with pytest.raises(ConfigError, match="vocab") as caught:
        method.student_shape(big, {"vocab": 5})
    assert all(field in str(caught.value) for field in SHAPE_FIELDS)
    for wanted in ({"hidden": "16"}, {"heads": 3}, {"layers": 0}, {"hidden": True}, {"ffn": 2.5}):
        with pytest.raises(ShapeError):
            method.student_shape(big, wanted)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, (16, 4, 4, 24)),
        ({"hidden": 8}, (8, 4, 2, 32)),  # the usual four times, when the width is chosen and the FFN is not
        ({"hidden": 16}, (16, 4, 4, 24)),
        ({"hidden": 8, "ffn": 20, "heads": None}, (8, 4, 2, 20)),
        ({"heads": 2}, (16, 2, 8, 24)),
        ({"heads": 2, "head_dim": 3}, (16, 2, 3, 24)),
    ],
)
def test_what_is_not_chosen_follows_from_the_teacher(wanted, expected):
    """Harm: choosing a width silently changes something else than the page shows."""
    scratch = METHODS["scratch"]
    big = Shape(layers=2, hidden=16, heads=4, ffn=24, pooler=True, pair_head=True, mlm_head=False)
    shape = scratch(scratch.Options(), 1).student_shape(big, wanted)
    assert (shape.hidden, shape.heads, shape.head_dim, shape.ffn) == expected
    assert (shape.pooler, shape.pair_head, shape.mlm_head) == (False, False, True)


def test_unknown_methods_are_refused_by_name():
    """Harm: a KeyError from a link that somebody shortened."""
    assert find("wid") is METHODS["wid"]
    with pytest.raises(ConfigError, match="'magic'; choose one of wid"):
        find("magic")


def test_the_optimizer_is_the_textbooks_in_one_kernel():
    """Harm: the fused optimizer is fast and computes something else, or decays what must not decay."""
    bert, plain = teacher(), teacher()
    optimizer = adamw([(bert, 1e-2)], decay=0.1)
    assert all(group["fused"] for group in optimizer.param_groups)
    decays = {True: 0.1, False: 0.0}
    groups = [{"params": [p], "lr": 1e-2, "weight_decay": decays[p.ndim > 1]} for p in plain.parameters()]
    reference = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8, fused=False, foreach=False)
    for seed in range(4):
        for model, steps in ((bert, optimizer), (plain, reference)):
            steps.zero_grad()
            masked_lm(model, masked_batch(seed=seed)).backward()
            steps.step()
    for (name, tensor), other in zip(bert.named_parameters(), plain.parameters(), strict=True):
        if not name.endswith("key.bias"):  # no loss depends on it: its gradient is rounding, and Adam enlarges it
            torch.testing.assert_close(tensor, other, rtol=0, atol=1e-5, msg=name)


def test_muon_is_torchs_on_hidden_matrices_and_adamw_is_on_the_rest():
    """Harm: Muon on the vocabulary's table, which it is not for; a bias nobody trains; decay where none belongs."""
    bert, plain = teacher(), teacher()
    optimizer = fresh_optimizer("muon", bert, 1e-2, decay=0.1)
    linears = {f"{name}.weight" for name, module in plain.named_modules() if isinstance(module, torch.nn.Linear)}
    assert len(linears) == 13  # two layers of query, key, value, output, up and down, and the head's transform
    named = dict(plain.named_parameters())
    matrices = torch.optim.Muon(
        [named[name] for name in linears], lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"
    )
    decays = {True: 0.1, False: 0.0}
    rest = torch.optim.AdamW(
        [
            {"params": [p], "lr": 1e-2, "weight_decay": decays[p.ndim > 1]}
            for name, p in named.items()
            if name not in linears
        ],
        fused=False,
        foreach=False,
    )
    for seed in range(3):
        for model, parts in ((bert, [optimizer]), (plain, [matrices, rest])):
            masked_lm(model, masked_batch(seed=seed)).backward()
            for part in parts:
                part.step()
            for part in parts:
                part.zero_grad()
    start = dict(teacher().named_parameters())
    for name, tensor in bert.named_parameters():
        assert not torch.equal(tensor, start[name]), name
        if not name.endswith("key.bias"):  # no loss depends on it
            torch.testing.assert_close(tensor, named[name], rtol=0, atol=1e-5, msg=name)


def test_muon_leaves_an_untied_decoder_to_adamw():
    """Harm: the vocabulary's projection, one row a word, is orthogonalised because it happens to be a Linear."""
    bert = Bert(Shape(layers=1, hidden=16, heads=4, vocab=50, tied=False))
    assert not any(parameter is bert.head.decoder.weight for parameter in hidden_matrices(bert))
    assert len(hidden_matrices(bert)) == 7


def test_the_rate_is_set_in_one_place_for_all_parts_of_an_optimizer():
    """Harm: warm-up and decay reach AdamW's part only, and Muon goes on at its peak."""
    bert = teacher()
    optimizer = fresh_optimizer("muon", bert, 1e-2)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    masked_lm(bert, masked_batch()).backward()
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(bert.parameters(), teacher().parameters(), strict=True))


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
    found = soft_target_loss(torch.from_numpy(student), torch.from_numpy(guide), temperature)
    assert float(found) == pytest.approx(expected, rel=1e-10)
    assert float(soft_target_loss(torch.from_numpy(guide), torch.from_numpy(guide), temperature)) == pytest.approx(0)


def test_soft_target_gradient_is_the_losses_own():
    """Harm: a loss that is charted right and learned wrong."""
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(3, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    guide = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda logits: soft_target_loss(logits, guide, 2.0), [student])


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
