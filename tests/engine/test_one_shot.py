"""Laws of the one-shot compressions: what is left computes what it should, and is as small as it says."""

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from safetensors.torch import load_file, save_file
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForMaskedLM

from engine import importance, linears, task_scores, teachers
from engine.bert import Bert, new_bert
from engine.checkpoints import CheckpointError, export_model, load_model, save_model
from engine.corpora import open_corpus
from engine.cost import model_bytes, multiply_adds, parameters
from engine.device import pick
from engine.fill_in import fill_in
from engine.finetune import Recipe, fingerprint
from engine.importance import choose, first_order, shared_out
from engine.labelled import TaskError
from engine.library import inexpressible
from engine.linears import Int8Linear, RoundedLinear, from_int8, int8_product, to_int8
from engine.masking import Masking
from engine.methods import METHODS
from engine.probe import probe
from engine.pruning import copy_of, cut_shape, factors, keep
from engine.shape import OUTCOMES, Shape, ShapeError
from engine.tasks import find
from tests.engine.builders import finish, masked_batch, new_run, teacher, tiny, tokenizer
from tests.engine.shapes import small_shapes

ONE_SHOT = [name for name, kind in METHODS.items() if kind.one_shot]
UNEVEN = {"heads": 4, "layer_heads": (1, 4), "ffn": 24, "layer_ffn": (24, 5)}
SHAPES = {
    "uneven": UNEVEN,
    "two factors": {"rank": 3},
    "int8": {"linear_bits": 8, "table_bits": 8},
    "int8 linears": {"linear_bits": 8},
    "everything": {**UNEVEN, "head_dim": 4, "rank": 2, "linear_bits": 8, "table_bits": 8},
    "untied": {"tied": False, "linear_bits": 8, "embedding": 8, "family": "albert", "sharing": "all", "rank": 2},
}


def logits(model, batch=None):
    """(batch, pos, vocab) of the visible positions only."""
    batch = batch or masked_batch()
    with torch.no_grad():
        return model(batch.ids, batch.visible)[batch.visible]


def student_of(name, guide, steps=0, **options):
    """The finished student of a one-shot method, with its method and shape."""
    kind = METHODS[name]
    method = kind(kind.Options(**options), steps)
    shape = method.student_shape(guide.shape, {})
    student = method.prepare(guide, shape, 0).requires_grad_(True)
    student = method.calibrate(student, [masked_batch(seed=seed) for seed in range(2)])
    return method, method.settled(student, shape), method.finish(student).eval()


# ---- shapes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPES)
def test_counts_bytes_and_work_are_those_of_the_built_model(name):
    """Harm: a compression whose saving is announced by one rule and built by another."""
    shape = Shape(**{"layers": 2, "hidden": 16, "heads": 4, "ffn": 24, "vocab": 40, "positions": 12, **SHAPES[name]})
    model = Bert(shape)
    assert parameters(shape) == sum(p.numel() for p in model.parameters())
    assert model_bytes(shape) == sum(t.numel() * t.element_size() for t in model.state_dict().values())
    if shape.linear_bits == shape.table_bits == 32:
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, 7, dtype=torch.long), trace={"attentions": []})
        assert counter.get_total_flops() == 2 * multiply_adds(shape, 7)


@settings(max_examples=60, deadline=None)
@given(small_shapes(compressed=True))
def test_bytes_are_exact_for_any_shape(shape):
    """Harm: scales, shared layers or a tied decoder are weighed twice or not at all."""
    with torch.device("meta"):
        tensors = Bert(shape).state_dict().values()
    assert model_bytes(shape) == sum(t.numel() * t.element_size() for t in tensors)


def test_shapes_of_old_runs_are_still_read():
    """Harm: every run made before today opens with an error."""
    old = {name: value for name, value in Shape().to_json().items() if name not in OUTCOMES}
    assert Shape.from_json(old) == Shape()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"layer_heads": [1, 2, 3]}, "for each of 2 layers, got 3"),
        ({"layer_heads": [0, 4]}, "between 1 and the shape's heads of 4 and reach it, got 0 to 4"),
        ({"layer_heads": [1, 2]}, "reach it, got 1 to 2"),
        ({"layer_heads": "12"}, "must be a list of whole numbers"),
        ({"layer_heads": [1.0, 4]}, "must be a list of whole numbers"),
        ({"layer_ffn": [10**5000, 1]}, "layer_ffn"),
        ({"layer_ffn": {"0": 1}}, "must be a list"),
        ({"rank": -1}, "rank must be a whole number between 0"),
        ({"rank": True}, "rank must be a whole number"),
        ({"linear_bits": 4}, "linear_bits must be one of 8, 32, got 4"),
        ({"table_bits": "8"}, "table_bits must be one of 8, 32"),
        ({"layer_ffn": [3, 24], "sharing": "all"}, "must be the same in all layers that share"),
    ],
)
def test_outcomes_that_do_not_fit_are_refused_in_a_sentence(changes, says):
    """Harm: a damaged card builds a model of another shape, or ends in a traceback."""
    with pytest.raises(ShapeError, match=says) as caught:
        Shape(layers=2, hidden=16, heads=4, ffn=24, **changes)
    assert all(len(problem) < 300 for problem in caught.value.problems)


def test_a_list_of_one_number_is_no_list():
    """Harm: two shapes of one model that differ, so that an even student cannot be exported."""
    shape = Shape(layers=2, hidden=16, heads=4, ffn=24, layer_heads=[4, 4], layer_ffn=[24, 24])
    assert shape == Shape(layers=2, hidden=16, heads=4, ffn=24)
    assert Shape(layers=2, hidden=16, heads=4, layer_heads=[1, 4]).plain() == Shape(layers=2, hidden=16, heads=4)


# ---- structured pruning ---------------------------------------------------------------------------------------------


def zeroed(guide, part, kept):
    """The guide with the outputs of everything that is not kept at zero, by a hook."""
    width = guide.shape.head_dim if part == "attention" else 1
    blocks = [block.output for block in guide.attentions] if part == "attention" else [ffn.down for ffn in guide.ffns]
    hooks = []
    for block, places in zip(blocks, kept, strict=True):
        mask = torch.zeros(guide.shape.inner if part == "attention" else guide.shape.ffn)
        for place in places:
            mask[place * width : (place + 1) * width] = 1
        hooks.append(block.register_forward_pre_hook(lambda module, inputs, mask=mask: (inputs[0] * mask,)))
    return hooks


@pytest.mark.parametrize(("part", "kept"), [("attention", [[1, 3], [0]]), ("ffn", [[0, 5, 23], list(range(2, 20))])])
@pytest.mark.parametrize("rank", [0, 6])
def test_what_is_left_computes_what_the_whole_computes_without_the_rest(part, kept, rank):
    """Harm: rows of one head end up with columns of another; or a factorised model is cut in its middle."""
    guide = copy_of(teacher(), Shape(**{**vars(teacher().shape), "rank": rank})).eval()
    small = keep(guide, part, kept)
    assert parameters(small.shape) == sum(p.numel() for p in small.parameters()) < parameters(guide.shape)
    found = logits(small)
    hooks = zeroed(guide, part, kept)
    torch.testing.assert_close(found, logits(guide), rtol=0, atol=1e-4)
    for hook in hooks:
        hook.remove()


def test_shared_layers_lose_their_heads_together():
    """Harm: an ALBERT is cut in one layer and asked for all its heads in the next."""
    guide = teacher(layers=4, family="albert", sharing="all", groups=2, embedding=8)
    small = keep(guide, "attention", [[0, 2], [1]])
    assert small.shape.layer_heads == (2, 2, 1, 1)
    hooks = zeroed(guide, "attention", [[0, 2], [1]])
    torch.testing.assert_close(logits(small), logits(guide), rtol=0, atol=1e-4)
    assert len(hooks) == 2


@pytest.mark.parametrize("sharing", ["none", "all"])
@pytest.mark.parametrize("part", ["attention", "ffn"])
def test_importance_is_the_gradient_of_a_mask(part, sharing):
    """Harm: heads are ranked by something else than the paper's |dL/dxi|, row by row. Slow loop over rows and masks."""
    guide, batch = teacher(sharing=sharing, family="albert" if sharing == "all" else "bert"), masked_batch()
    found = first_order(guide, part, [batch])
    blocks = [b.output for b in guide.attentions] if part == "attention" else [f.down for f in guide.ffns]
    count, width = (4, 4) if part == "attention" else (24, 1)
    masks = [torch.ones(count, requires_grad=True) for _ in blocks]
    hooks = [
        block.register_forward_pre_hook(lambda module, inputs, m=mask: (inputs[0] * m.repeat_interleave(width),))
        for block, mask in zip(blocks, masks, strict=True)
    ]
    sums = [np.zeros(count) for _ in blocks]
    for row in batch.parts(len(batch.ids)):
        out = guide(row.ids, row.visible, positions=row.positions)
        loss = torch.nn.functional.cross_entropy(out, row.targets, reduction="sum")
        for total, gradient in zip(sums, torch.autograd.grad(loss, masks), strict=True):
            total += np.abs(gradient.numpy())
    for hook in hooks:
        hook.remove()
    assert len(found) == len(blocks)
    for score, total in zip(found, sums, strict=True):
        np.testing.assert_allclose(score.numpy(), total / len(batch.ids), rtol=1e-3, atol=1e-6)
    assert not any(list(block._forward_pre_hooks) for block in blocks)


def test_neurons_by_weights_are_ranked_by_both_their_sides():
    """Harm: a neuron that is read by nobody is taken for important because it hears much."""
    guide = teacher()
    with torch.no_grad():
        guide.ffns[0].down.weight[:, 7] = 0
        guide.ffns[1].up.weight[3] *= 100
    scores = importance.weight_norms(guide)
    assert scores[0][7] == 0
    assert int(scores[1].argmax()) == 3


def test_the_least_important_leave_and_every_block_keeps_one():
    """Harm: ranked the wrong way round; or a layer without any head, which cannot be built."""
    scores = [torch.tensor([0.1, 9.0, 0.2]), torch.tensor([0.01, 0.02, 0.03])]
    assert choose(scores, [2, 1]) == [[1, 2], [2]]
    assert choose(scores, 3, normalise=False) == [[1, 2], [2]]
    assert choose(scores, 2, normalise=False) == [[1], [2]]
    assert choose(scores, 4) == [[1], [0, 1, 2]]  # by the paper's norm a layer of small gradients counts as much


@pytest.mark.parametrize(("sizes", "left"), [([4, 4, 4], 7), ([1, 12, 3], 5), ([5], 2), ([1, 1], 2), ([9, 2], 11)])
def test_a_guess_at_what_stays_has_the_right_sum(sizes, left):
    """Harm: the count on the build page is off by a head."""
    found = shared_out(sizes, left)
    assert sum(found) == left
    assert all(1 <= got <= size for got, size in zip(found, sizes, strict=True))


# ---- two factors ----------------------------------------------------------------------------------------------------


def test_full_rank_is_the_teacher_and_less_is_the_nearest_there_is():
    """Harm: a factorisation that is worse than the SVD, or transposed."""
    weight = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    up, down = factors(weight, 5)
    torch.testing.assert_close(up @ down, weight, rtol=0, atol=1e-5)
    for rank in (1, 3):
        up, down = factors(weight, rank)
        assert (up.shape, down.shape) == ((7, rank), (rank, 5))
        off = np.linalg.norm((up @ down - weight).numpy())
        assert off == pytest.approx(np.sqrt((np.linalg.svd(weight.numpy())[1][rank:] ** 2).sum()), rel=1e-4)


def test_a_model_of_low_rank_loses_nothing_in_two_factors():
    """Harm: the factorised network computes another function than the product of its factors."""
    guide = teacher()
    with torch.no_grad():
        for block in (*guide.attentions, *guide.ffns):
            for name, module in block.named_children():
                if name != "norm":
                    up, down = factors(module.weight, 3)
                    module.weight.copy_(up @ down)
    _, shape, student = student_of("low_rank", guide, rank=3)
    assert shape.rank == 3
    assert parameters(shape) < parameters(guide.shape)
    torch.testing.assert_close(logits(student), logits(guide), rtol=0, atol=1e-4)


def test_a_linear_stays_whole_where_two_factors_would_be_larger():
    """Harm: "compressed" to more parameters than before."""
    guide = teacher()
    method, shape, student = student_of("low_rank", guide, rank=8)  # 8 (16 + 16) = 16 x 16, but 8 (16 + 24) < 16 x 24
    assert isinstance(student.attentions[0].query, torch.nn.Linear)
    assert isinstance(student.ffns[0].up, linears.FactorLinear)
    assert "stay whole" in " ".join(method.notes(guide.shape, shape))
    with pytest.raises(ShapeError, match="choose a rank below 10"):
        student_of("low_rank", guide, rank=10)


# ---- int8 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vnni", [True, False])
@pytest.mark.parametrize("outs", [1, 6, 16])
@pytest.mark.parametrize("wide", [1, 2, 16, 300])
def test_int8_products_are_the_numpy_loops(wide, outs, vnni, monkeypatch):
    """Harm: a kernel that saturates, a scale of the wrong row, or another answer on a machine without the kernel."""
    if vnni and not linears._vnni():
        pytest.skip("this processor has no int8 products")
    monkeypatch.setattr(linears, "_vnni", lambda: vnni)
    rng = np.random.default_rng(0)
    x, w = rng.normal(0, 2, (2, 5, wide)).astype(np.float32), rng.normal(0, 1, (outs, wide)).astype(np.float32)
    w[3:4] = 0  # a row of zeros has no largest value
    x[1, 2] = 0
    bias = rng.normal(size=outs).astype(np.float32)
    small, scale = to_int8(torch.from_numpy(w))
    found = int8_product(torch.from_numpy(x), small, scale, torch.from_numpy(bias)).numpy()
    expected = np.zeros((2, 5, outs))
    for row in np.ndindex(2, 5):
        own = max(np.abs(x[row]).max() / 127, 1e-30)
        grid = np.rint(x[row].astype(np.float64) / own)
        for out in range(outs):
            step = max(np.abs(w[out]).max() / 127, 1e-30)
            expected[row][out] = (grid @ np.rint(w[out].astype(np.float64) / step)) * own * step + bias[out]
    # a value halfway between two steps may fall to either side: at most one step of one input
    np.testing.assert_allclose(found, expected, atol=2 * np.abs(x).max() / 127 * np.abs(w).max(), rtol=1e-4)
    assert np.median(np.abs(found - expected)) < 1e-5
    true = x @ w.T + bias
    for row in np.ndindex(2, 5):  # half a step of each input and of each weight
        own, step = np.abs(x[row]).max() / 127, np.abs(w).max(1) / 127
        bound = own / 2 * np.abs(w).sum(1) + step / 2 * np.abs(x[row]).sum() + wide * own * step / 4 + 1e-4
        assert (np.abs(found[row] - true[row]) <= bound).all()


def test_weights_are_off_by_half_a_step_of_their_own_row_at_most():
    """Harm: one scale for a whole matrix, so that a row of small weights is rounded to nothing."""
    weight = (
        torch.randn(5, 9, generator=torch.Generator().manual_seed(0)) * torch.tensor([1e-3, 1, 10, 0.1, 1])[:, None]
    )
    back = from_int8(*to_int8(weight))
    assert ((back - weight).abs() <= weight.abs().amax(1, keepdim=True) / 127 / 2 * 1.001).all()


def test_int8_students_fill_in_look_and_score_like_their_teacher():
    """Harm: a student of a quarter of the bytes that runs nowhere but in its own test."""
    guide = teacher()
    _, shape, student = student_of("int8", guide)
    assert isinstance(student.attentions[0].query, Int8Linear)
    assert student.embeddings.word.weight.dtype == torch.int8
    assert parameters(shape) == parameters(guide.shape)
    assert model_bytes(shape) < 0.45 * model_bytes(
        guide.shape
    )  # 64 positions of 16 floats are much of so small a model
    near = (logits(student) - logits(guide)).abs()
    assert 0 < near.mean() < 0.05
    seen, filled = (
        probe(student, tokenizer(), "the girl sees the dog"),
        fill_in(student, tokenizer(), "the [MASK] runs"),
    )
    np.testing.assert_allclose(seen.attentions.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(filled.probabilities.sum(-1), 1, atol=1e-5)


def test_healing_looks_at_what_will_be_saved():
    """Harm: quantisation-aware steps train a network that is not the one that is written."""
    guide = teacher()
    method = METHODS["int8"](METHODS["int8"].Options(), 5)
    student = method.prepare(guide, method.student_shape(guide.shape, {}), 0)
    assert isinstance(student.ffns[0].up, RoundedLinear)
    before = method.finish(student).eval()
    torch.testing.assert_close(logits(student), logits(before), rtol=0, atol=0.05)  # a tie may round the other way
    assert (logits(student) - logits(before)).abs().mean() < 1e-3
    batch = masked_batch()
    student.requires_grad_(True)
    sum(method.losses(student, guide, batch).values()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for n, p in student.named_parameters() if "up.w" in n)


# ---- magnitude ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranking", ["matrix", "global"])
def test_the_smallest_weights_are_zero_and_stay_zero(ranking):
    """Harm: the largest went, or healing brings zeros back to life through decay or momentum."""
    guide = teacher()
    kind = METHODS["magnitude"]
    method = kind(kind.Options(share=0.6, ranking=ranking, lr=1e-2), 4)
    student = method.prepare(guide, guide.shape, 0).requires_grad_(True)
    pairs = [
        (mine, dict(guide.named_parameters())[name])
        for name, mine in student.named_parameters()
        if mine.ndim == 2 and name.startswith(("attentions", "ffns"))
    ]
    gone = torch.cat([(mine == 0).flatten() for mine, _ in pairs])
    size = torch.cat([theirs.abs().flatten() for _, theirs in pairs])
    assert float(gone.float().mean()) == pytest.approx(0.6, abs=0.01)
    if ranking == "global":
        assert size[gone].max() <= size[~gone].min()
    else:
        for mine, theirs in pairs:
            assert theirs.abs()[mine == 0].max() <= theirs.abs()[mine != 0].min()
            assert float((mine == 0).float().mean()) == pytest.approx(0.6, abs=0.01)
    optimizer, zeros = method.optimizer(student), [(mine == 0).clone() for mine, _ in pairs]
    for step in range(1, 5):
        optimizer.zero_grad()
        sum(method.losses(student, guide, masked_batch(seed=step)).values()).backward()
        method.after_backward(student, optimizer, step)
        optimizer.step()
    for (mine, theirs), was in zip(pairs, zeros, strict=True):
        assert torch.equal(mine == 0, was)
        assert not torch.equal(mine[~was], theirs[~was])


# ---- whole runs -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(few_held_out, tmp_path_factory):
    """(folder of runs, {method: run}) of every one-shot method without a step, and of WID before them."""
    root = tmp_path_factory.mktemp("runs")
    sizes = {"layers": 2, "hidden": 32, "heads": 4, "ffn": 64}
    first = new_run(root, config := tiny("wid", options={"cuts": 2}, steps=12, student=sizes))
    finish(config, first)
    found = {"wid": first}
    for name in ONE_SHOT:
        options = {"low_rank": {"rank": 7}, "head_pruning": {"batches": 2}, "ffn_pruning": {"batches": 2}}.get(name, {})
        config = tiny(name, steps=0, teacher=f"run:{first.id}", options=options)
        found[name] = new_run(root, config)
        events = finish(config, found[name])
        kinds = [event["kind"] for event in events if event["kind"] != "attention"]
        assert kinds[-3:] == ["prepare", "evaluation", "finished"]
        assert [event["step"] for event in events if event["kind"] == "evaluation"] == [0]
    return root, found


@pytest.mark.parametrize("name", ONE_SHOT)
def test_a_student_of_a_student_is_saved_small_measured_and_read_again(made, name):
    """Harm: a compression that stacks on no student, grows on disk, or tells bytes and times that nobody measured."""
    _, found = made
    card, folder = found[name].card(), found[name].student_dir
    model, shape = load_model(folder), Shape.from_json(card["shape"])
    assert (card["steps_done"], card["complete"], card["parent"]) == (0, True, found["wid"].id)
    assert model.bert.shape == shape
    assert card["parameters"] == parameters(shape) == sum(p.numel() for p in model.bert.parameters())
    measured = card["measured"]
    assert measured["student"]["bytes"] == (folder / "model.safetensors").stat().st_size
    assert 0 <= measured["student"]["bytes"] - model_bytes(shape) < 20_000  # the file's header
    assert measured["teacher"]["latency_ms"] > 0 < measured["student"]["latency_ms"]
    assert (measured["rows"], measured["threads"]) == (16, torch.get_num_threads())
    smaller = measured["student"]["bytes"] < measured["teacher"]["bytes"]
    assert smaller == (name != "magnitude")
    if name == "magnitude":
        assert measured["student"]["zeros"] == pytest.approx(0.5, abs=0.01)
        assert measured["student"]["compressed_bytes"] < 0.9 * measured["teacher"]["compressed_bytes"]
    assert json.loads(json.dumps(card)) == card


@pytest.mark.parametrize("name", ONE_SHOT)
def test_a_compressed_student_can_teach_in_its_turn(made, name):
    """Harm: a chain of compressions ends at the first one; or at a traceback instead of a sentence."""
    root, found = made
    guide = teachers.load(f"run:{found[name].id}", root)
    corpus = open_corpus("microworld", tokenizer(), 16, 40)
    for kind in METHODS.values():
        method = kind(kind.Options(**({"cuts": 2} if kind.name == "wid" else {})), 30)
        refused, shape = "", guide.card.shape
        try:
            shape = method.student_shape(guide.card.shape, {})
        except ShapeError as error:
            refused = str(error)
        if refused:
            assert guide.card.shape.marks or kind.one_shot, refused
            assert len(refused) > 40
            continue
        student = method.prepare(guide.bert, shape, 0)
        student = method.calibrate(student, (corpus.batch(look, 4, 0) for look in range(2)))
        for parameter in student.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        above, batch = guide.bert, masked_batch()
        if method.classes:  # it learns from labelled texts, from a teacher that tells the same classes apart
            above = method.prepare(guide.bert, guide.bert.shape.replace(pooler=True, mlm_head=False, tied=True), 0)
            batch = method.data("microworld", tokenizer(), 16, 40, Masking()).batch(0, 4, 0)
        terms = method.losses(student, above, batch)
        assert all(term.isfinite() for term in terms.values()), kind.name


@pytest.mark.parametrize("name", ["wid", "distilbert", "adapt"])
@pytest.mark.parametrize("changes", [UNEVEN, {"rank": 3}, {"linear_bits": 8}])
def test_methods_that_start_from_weights_refuse_what_they_cannot_start_from(name, changes):
    """Harm: a missing key deep in a state dict, or int8 weights that are trained as if they were floats."""
    odd = Shape(**{**vars(teacher().shape), **changes})
    with pytest.raises(ShapeError, match="needs a plain BERT, but this teacher has"):
        METHODS[name](METHODS[name].Options(), 100).student_shape(odd, {"heads": 3})  # said before that 3 do not divide


def test_export_says_what_the_library_cannot_hold_and_writes_what_it_can(made, tmp_path):
    """Harm: an export that loads as another model; or none at all of a student that is a plain BERT."""
    _, found = made
    reasons = {
        "head_pruning": "heads",
        "ffn_pruning": "FFNs are from",
        "low_rank": "products of two factors of rank 7",
    }
    for name, words in reasons.items():
        model = load_model(found[name].student_dir)
        assert words in " ".join(inexpressible(model.bert.shape))
        with pytest.raises(ShapeError, match=words):
            export_model(model, tmp_path / name)
        assert not (tmp_path / name).exists()
    for name in ("int8", "magnitude"):
        model = load_model(found[name].student_dir)
        export_model(model, tmp_path / name)
        theirs = AutoModelForMaskedLM.from_pretrained(tmp_path / name, local_files_only=True).eval()
        batch = masked_batch()
        found_logits = theirs(input_ids=batch.ids, attention_mask=batch.visible.long()).logits[batch.visible]
        dense = copy_of(model.bert, model.bert.shape.plain()).eval()
        torch.testing.assert_close(found_logits, logits(dense), rtol=0, atol=1e-4)
        assert ("were int8" in (tmp_path / name / "README.md").read_text()) == (name == "int8")


def test_evenly_pruned_ffns_are_an_ordinary_bert():
    """Harm: a student that every library can run is locked into this app."""
    _, shape, student = student_of("ffn_pruning", teacher(), ranking="layer", importance="weights")
    assert (shape.ffn, shape.marks) == (12, [])
    assert not inexpressible(student.shape)


def test_a_healed_run_goes_on_where_it_stopped(few_held_out, tmp_path):
    """Harm: after a resume other heads are gone than before, or weights meet the wrong heads."""
    config = tiny("head_pruning", steps=6, options={"share": 0.5, "batches": 2}, checkpoints=1, evaluations=1)
    whole, run = new_run(tmp_path, config), new_run(tmp_path, config)
    finish(config, whole)
    from engine.train import train

    for event in train(config, run):
        if event["kind"] == "step" and event["step"] == 2:
            run.request_stop()
    run.clear_stop()
    finish(config, run)
    one, two = (load_file(each.student_dir / "model.safetensors") for each in (whole, run))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    kept = load_file(run.student_dir / "lineage.safetensors")
    layers = Shape.from_json(run.card()["shape"])
    assert [len(kept[f"kept.attention.{i}"]) for i in range(4)] == [layers.heads_of(i) for i in range(4)]


@pytest.mark.parametrize("damage", ["floats", "shape", "missing scale", "truncated"])
def test_damaged_files_of_int8_students_are_refused(made, damage, tmp_path):
    """Harm: floats are copied into int8 without a word, and every weight is 0 or 1."""
    _, found = made
    folder = shutil.copytree(found["int8"].student_dir, tmp_path / "student")
    path, tensors = folder / "model.safetensors", load_file(found["int8"].student_dir / "model.safetensors")
    name = "ffns.0.up.weight"
    if damage == "floats":
        tensors[name] = tensors[name].float()
    elif damage == "shape":
        tensors[name] = tensors[name][:3].contiguous()
    elif damage == "missing scale":
        del tensors["ffns.0.up.scale"]
    save_file(tensors, path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="is damaged"):
        load_model(folder)


def test_int8_is_the_last_step():
    """Harm: gradients of rounded weights, which are zero, rank heads by nothing."""
    guide = Bert(Shape(**{**vars(teacher().shape), "linear_bits": 8}))
    for name in ONE_SHOT:
        with pytest.raises(ShapeError, match="make int8 the last step"):
            METHODS[name](METHODS[name].Options(), 0).student_shape(guide.shape, {})


def test_int8_models_are_scored_on_tasks_by_a_probe_only():
    """Harm: a traceback out of autograd, minutes after the start; or two int8 models that share a cached score."""
    _, _, student = student_of("int8", teacher())
    with pytest.raises(TaskError, match="use --probe"):
        task_scores.score(student, tokenizer(), find("qc"), Recipe(), 1, pick("cpu"))
    name = fingerprint(student)
    student.ffns[0].up.scale.mul_(2)
    assert fingerprint(student) != name


def test_compressions_stack(tmp_path):
    """Harm: each works alone, and their sum loads as nothing."""
    guide = new_bert(teacher(layers=2).shape, 3)
    for name, options in (
        ("ffn_pruning", {"importance": "gradients"}),
        ("head_pruning", {}),
        ("magnitude", {"share": 0.3}),
        ("low_rank", {"rank": 3}),
        ("head_pruning", {"share": 0.3}),
        ("int8", {}),
    ):
        _, shape, student = student_of(name, guide.requires_grad_(False), **options)
        assert student.shape == shape
        assert parameters(shape) == sum(p.numel() for p in student.parameters())
        guide = student
    save_model(tmp_path / "last", guide, tokenizer(), {"id": "last"})
    again = load_model(tmp_path / "last").bert
    torch.testing.assert_close(logits(again), logits(guide), rtol=0, atol=0)
    assert (
        guide.shape.marks
        == [
            "different numbers of heads in its layers",
            "FFNs of different widths in its layers",
            "linears of two factors of rank 3",
            "int8 weights",
        ]
        or len(guide.shape.marks) >= 3
    )


@pytest.mark.parametrize("name", ONE_SHOT)
def test_sizes_are_not_for_choosing(name):
    """Harm: a width that was asked for is silently not given."""
    method = METHODS[name](METHODS[name].Options(), 0)
    with pytest.raises(ShapeError, match="leave the student's sizes alone"):
        method.student_shape(teacher().shape, {"layers": 1})


def test_cut_shapes_follow_sharing():
    """Harm: the third group's heads are counted for the second."""
    shape = Shape(layers=5, hidden=16, heads=4, family="albert", sharing="attention", groups=2)
    assert cut_shape(shape, "attention", [3, 1]).layer_heads == (3, 3, 3, 1, 1)
    assert cut_shape(shape, "attention", [2, 2]).heads == 2
    assert cut_shape(shape, "ffn", [5, 4, 3, 2, 1]).layer_ffn == (5, 4, 3, 2, 1)
