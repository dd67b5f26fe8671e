import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from engine.bert import Bert
from engine.checkpoints import Model, export_model
from engine.config import ConfigError, check, read_options
from engine.corpora import open_corpus
from engine.cost import parameters
from engine.library import inexpressible
from engine.losses import softened
from engine.methods import METHODS, find
from engine.methods.albert import Albert, AlbertOptions
from engine.methods.base import SHAPE_FIELDS, USES, adamw, fresh_optimizer, masked_lm
from engine.methods.soft_targets import SoftTargets, SoftTargetsOptions
from engine.muon import hidden_matrices
from engine.pairs import open_text
from engine.shape import Shape, ShapeError
from tests.engine.builders import masked_batch, randomise, teacher, tokenizer

pytestmark = pytest.mark.usefixtures("few_held_out")
STEPS = 30
IN_A_HURRY = {"albert": {"embedding": 8, "lr": 1e-2}}  # a sixth of 16 dims is too few to learn anything in 30 steps


def wanted_of(kind):
    """What is asked of a student: another shape, where the method can give it one."""
    if kind.name == "distilbert":
        return {"layers": 1}
    return {"hidden": 16, "heads": 4, "ffn": 32} if kind.chooses else {}


def presets_of(kind):
    """(note, options) of every preset."""
    return [(kind.preset_notes[name], options) for name, options in kind.presets.items()]


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
    method = kind(kind.Options(**IN_A_HURRY.get(request.param, {})), STEPS)
    text = open_text("microworld", tokenizer(), 24, 200, method.pairs)
    shape = method.student_shape(knowing.shape, wanted_of(kind))
    before = {name: tensor.clone() for name, tensor in knowing.state_dict().items()}
    student = method.prepare(knowing, shape, seed=0).requires_grad_(True)
    student = method.calibrate(student, (text.batch(look, 16, 0) for look in range(method.calibration_batches)))
    shape = method.settled(student, shape)
    optimizer, losses = method.optimizer(student), []
    for step in range(1, STEPS + 1):
        terms = method.losses(student, knowing, text.batch(step - 1, 16, 0))
        optimizer.zero_grad()
        sum(terms.values()).backward()
        assert all(p.grad is not None for p in student.parameters())  # or DistributedDataParallel waits for ever
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
    assert set(kind.uses) <= set(USES)
    assert kind.formula.count("{") == kind.formula.count("}")
    assert all(note and options.keys() <= vars(kind.Options()).keys() for note, options in presets_of(kind))
    assert kind.Options.__doc__


def test_a_finished_student_is_a_plain_bert_of_the_promised_shape(taught, knowing):
    """Harm: the count on the build page, the curve and the saved model are of three different students."""
    method, shape, _, student = taught
    assert type(student) is Bert
    assert student.shape == shape
    said = method.student_shape(knowing.shape, wanted_of(type(method)))
    assert parameters(said) == parameters(shape) == sum(p.numel() for p in student.parameters())
    assert said == shape or method.corpus_decides
    if not method.one_shot:
        promised = {"hidden": 32, "heads": 4, "ffn": 64, "layers": 2} | wanted_of(type(method))
        assert {name: getattr(shape, name) for name in promised} == promised


def test_the_student_learns(taught, corpus, knowing):
    """Harm: a method that runs to the end and teaches nothing. WID starts as its teacher and loses width meanwhile."""
    method, shape, losses, student = taught
    untaught = randomise(Bert(shape), seed=5)
    with torch.no_grad():
        batch = corpus.batch(10_000, 64, 1)
        assert masked_lm(student, batch) < masked_lm(untaught, batch)
    if method.name == "distilbert":  # it starts from layers of its teacher, so its loss is low from the beginning
        with torch.no_grad():
            assert masked_lm(student, batch) < masked_lm(method.prepare(knowing, shape, seed=0), batch)
        return
    if method.name == "adapt" or method.one_shot:  # it starts as its teacher, or what a compression leaves of it
        return
    if method.name != "wid":
        assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.1
    else:
        worst = max(losses)
        assert np.mean(losses[-3:]) < worst - 0.1


def test_a_finished_student_is_read_by_the_library(taught, tmp_path):
    """Harm: a student that lives in this app only."""
    method, _, _, student = taught
    if method.one_shot and inexpressible(student.shape):
        with pytest.raises(ShapeError, match="cannot hold this model"):
            export_model(Model(student.eval(), tokenizer(), {}), tmp_path / "out")
        return
    assert not inexpressible(student.shape)
    export_model(Model(student.eval(), tokenizer(), {}), tmp_path / "out")
    theirs = AutoModelForMaskedLM.from_pretrained(tmp_path / "out", local_files_only=True).eval()
    batch = masked_batch()
    found = theirs(input_ids=batch.ids, attention_mask=batch.visible.long()).logits
    with torch.no_grad():
        ours = student(batch.ids, batch.visible)
    near = 0.2 if student.shape.marks else 1e-5  # int8 weights are exported as floats, and their inputs not rounded
    torch.testing.assert_close(found[batch.visible], ours[batch.visible], rtol=0, atol=near)


@pytest.mark.parametrize("name", METHODS)
def test_the_student_follows_its_seed(name, knowing):
    """Harm: two runs with one seed that differ before their first step."""
    kind = METHODS[name]
    method = kind(kind.Options(), STEPS)
    shape = method.student_shape(knowing.shape, wanted_of(kind))
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
    found = softened(torch.from_numpy(student), torch.from_numpy(guide), temperature).mean()
    assert float(found) == pytest.approx(expected, rel=1e-10)
    assert float(softened(torch.from_numpy(guide), torch.from_numpy(guide), temperature).mean()) == pytest.approx(0)


def test_soft_target_gradient_is_the_losses_own():
    """Harm: a loss that is charted right and learned wrong."""
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(3, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    guide = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda logits: softened(logits, guide, 2.0), [student])


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
    method = kind(read_options(kind.Options, options), STEPS)
    with pytest.raises(ShapeError, match=says):
        method.student_shape(Shape(layers=4, hidden=32, heads=4), wanted)


def test_minilmv2_bridges_different_heads(knowing, corpus):
    """Harm: the one method that needs no equal heads asks for them all the same."""
    kind = METHODS["minilmv2"]
    method = kind(kind.Options(), STEPS)
    shape = method.student_shape(knowing.shape, {"hidden": 24, "heads": 3})
    student = method.prepare(knowing, shape, 0)
    assert method.cut_into == 8  # the largest that divides 32 and 24
    assert all(term.isfinite() for term in method.losses(student, knowing, corpus.batch(0, 8, 0)).values())


def test_distilbert_starts_from_layers_of_its_teacher(knowing):
    """Harm: a student "initialised from the teacher" that is not: with every layer it must compute the same."""
    kind = METHODS["distilbert"]
    method = kind(kind.Options(), STEPS)
    shape = method.student_shape(knowing.shape, {"layers": 2})
    assert shape.token_types == 0
    student, batch = method.prepare(knowing, shape, 0), masked_batch()
    torch.testing.assert_close(student(batch.ids, batch.visible), knowing(batch.ids, batch.visible), rtol=0, atol=1e-5)
    assert method.student_shape(Shape(layers=12), {}).layers == 6


@pytest.mark.parametrize("name", ["tinybert", "minilm", "minilmv2"])
def test_the_papers_own_preset_teaches_no_head(name, knowing, corpus):
    """Harm: a preset called `paper` whose loss is another than the paper's."""
    kind = METHODS[name]
    method = kind(read_options(kind.Options, kind.presets["paper"]), STEPS)
    student = method.prepare(knowing, method.student_shape(knowing.shape, wanted_of(kind)), 0)
    terms = method.losses(student, knowing, corpus.batch(0, 8, 0))
    assert terms["masked-LM"].item() == 0
    assert sum(term.item() > 0 for term in terms.values()) == len(terms) - 1


@pytest.mark.parametrize("sharing", ["none", "attention", "ffn", "all"])
@pytest.mark.parametrize("pairs", ["sop", "nsp", "none"])
def test_albert_is_the_shape_that_was_asked_for(sharing, pairs):
    """Harm: parameters that ALBERT is said to save are still there, or the pair head learns from nothing."""
    method = Albert(AlbertOptions(embedding=10, sharing=sharing, groups=2, pairs=pairs), STEPS)
    shape = method.student_shape(Shape(layers=4, hidden=32, heads=4, vocab=50), {"hidden": 24})
    assert (shape.embedding, shape.sharing, shape.groups, shape.family) == (10, sharing, 2, "albert")
    student = method.prepare(teacher(), shape, 0)
    assert sum(p.numel() for p in student.parameters()) == parameters(shape)
    attentions, ffns = {"none": (4, 4), "attention": (2, 4), "ffn": (4, 2), "all": (2, 2)}[sharing]
    assert (len(student.attentions), len(student.ffns)) == (attentions, ffns)
    assert (student.pair is None) == (pairs == "none") == (method.pairs == "none")
    assert bool(method.notes(shape, shape)) == bool(inexpressible(shape)) == (sharing in ("attention", "ffn"))


def test_albert_learns_the_order_of_sentences():
    """Harm: a sentence-order loss that does not reach the pair head, or looks at the wrong labels."""
    method = Albert(AlbertOptions(sharing="all", lr=3e-3), 60)
    text = open_text("microworld", tokenizer(), 32, 600, "sop")
    student = method.prepare(teacher(), method.student_shape(teacher().shape, {"hidden": 32, "heads": 4}), 0)
    optimizer, batch = method.optimizer(student), text.batch(0, 16, 0)
    with torch.no_grad():
        before = method.losses(student, teacher(), batch)["sentence order"].item()
    for _ in range(60):
        optimizer.zero_grad()
        method.losses(student, teacher(), batch)["sentence order"].backward()
        optimizer.step()
    with torch.no_grad():
        after = method.losses(student, teacher(), batch)["sentence order"].item()
    assert before == pytest.approx(np.log(2), abs=0.2)  # a coin
    assert after < 0.1  # sixteen pairs by heart


def test_albert_listens_to_its_teacher_as_much_as_asked(corpus):
    """Harm: a student said to be distilled that was not."""
    batch, big = masked_batch(), teacher()
    hard = Albert(AlbertOptions(pairs="none"), STEPS)
    soft = Albert(AlbertOptions(pairs="none", soft=1.0), STEPS)
    student = hard.prepare(big, hard.student_shape(big.shape, {}), 0)
    assert set(hard.losses(student, big, batch)) == {"masked-LM"}
    terms = soft.losses(student, big, batch)
    assert terms["masked-LM"].item() == 0
    assert terms["soft targets"].item() > 0
