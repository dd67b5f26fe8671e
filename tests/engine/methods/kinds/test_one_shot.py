"""Whole runs of one-shot compressions: saved small, read again, stacked, exported, refused in words."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM

from engine.methods.kinds.calibrated import calibrated
from engine.methods.kinds.one_shot import OneShot
from engine.methods.registry import METHODS
from engine.model.bert import new_bert
from engine.model.export import export_model
from engine.model.pruning import convert
from engine.model.saved_models import CheckpointError, load_model, save_model
from engine.model.transformers_format import transformers_objections
from engine.sizing.cost import model_bytes, parameters
from engine.sizing.shape import Shape, ShapeError
from engine.teachers import catalog as teachers
from engine.text.corpora import open_corpus
from engine.text.masking import Masking
from tests.fixtures.builders import finish, masked_batch, new_run, teacher, tiny, tokenizer
from tests.fixtures.compressed import ONE_SHOT, UNEVEN, logits, student_of


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
    guide = teachers.load_teacher(f"run:{found[name].id}", root)
    corpus = open_corpus("microworld", tokenizer(), 16, 40)
    for kind in METHODS.values():
        method = kind(kind.Options(**({"cuts": 2} if kind.about.name == "wid" else {})), 30)
        refused, shape = "", guide.card.shape
        try:
            shape = method.student_shape(guide.card.shape, {})
        except ShapeError as error:
            refused = str(error)
        if refused:
            assert guide.card.shape.compressions or issubclass(kind, OneShot), refused
            assert len(refused) > 40
            continue
        student = method.init_student(guide.bert, shape, 0)
        student = calibrated(method, student, (corpus.batch(look, 4, 0) for look in range(2)))
        for parameter in student.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        above, batch = guide.bert, masked_batch()
        if method.task.classes:  # it learns from labelled texts, from a teacher that tells the same classes apart
            above = method.init_student(guide.bert, guide.bert.shape.replace(pooler=True, mlm_head=False, tied=True), 0)
            batch = method.task.open_data("microworld", tokenizer(), 16, 40, Masking()).batch(0, 4, 0)
        terms = method.losses(student, above, batch)
        assert all(term.isfinite() for term in terms.values()), kind.about.name


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
        assert words in " ".join(transformers_objections(model.bert.shape))
    for name in ("int8", "magnitude", *reasons):
        model = load_model(found[name].student_dir)
        export_model(model, tmp_path / name)
        theirs = AutoModelForMaskedLM.from_pretrained(tmp_path / name, local_files_only=True).eval()
        batch = masked_batch()
        found_logits = theirs(input_ids=batch.ids, attention_mask=batch.visible.long()).logits[batch.visible]
        dense = convert(model.bert, model.bert.shape.plain()).eval() if name == "int8" else model.bert
        torch.testing.assert_close(found_logits, logits(dense), rtol=0, atol=1e-4)
        assert ("were int8" in (tmp_path / name / "README.md").read_text()) == (name == "int8")


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
        guide.shape.compressions
        == [
            "different numbers of heads in its layers",
            "FFNs of different widths in its layers",
            "linears of two factors of rank 3",
            "int8 weights",
        ]
        or len(guide.shape.compressions) >= 3
    )


@pytest.mark.parametrize("name", ONE_SHOT)
def test_sizes_are_not_for_choosing(name):
    """Harm: a width that was asked for is silently not given."""
    method = METHODS[name](METHODS[name].Options(), 0)
    with pytest.raises(ShapeError, match="leave the student's sizes alone"):
        method.student_shape(teacher().shape, {"layers": 1})
