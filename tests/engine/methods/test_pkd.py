"""PKD: its loss by hand, whom it imitates, and a task that is learned."""

import math

import numpy as np
import pytest
import torch

from engine.__main__ import main
from engine.inspection.fill_in import fill_in
from engine.inspection.probe import ProbeError
from engine.methods.pkd import TASKS, Pkd, PkdOptions
from engine.model.new_head import with_pooler
from engine.model.saved_models import load_model
from engine.settings.options import ConfigError, parse_options
from engine.sizing.shape import Shape, ShapeError
from engine.teachers.catalog import load_teacher, teacher_card
from engine.text.masking import Masking
from engine.training.loop import train
from tests.fixtures.builders import finish, new_run, randomise, teacher, tiny, tokenizer

TWO = {"layers": 2}
pytestmark = pytest.mark.usefixtures("few_held_out")


def softmax(values):
    """Of a list of numbers."""
    exponentials = [math.exp(value - max(values)) for value in values]
    return [value / sum(exponentials) for value in exponentials]


@pytest.mark.parametrize("matched", ["skip", "last"])
def test_the_loss_is_the_papers_by_hand(matched):
    """Harm: alpha on the wrong term, T squared forgotten, the last layer or the embeddings among the imitated ones."""
    method = Pkd(PkdOptions(matched=matched, temperature=4.0, soft=0.3, patient=20.0), 10)
    big = teacher(layers=4)
    data = method.task.open_data("microworld", tokenizer(), 64, 10, Masking())
    batch = data.batch(0, 6, 0)
    student = method.init_student(big, method.student_shape(big.shape, TWO), 0)
    randomise(student, seed=3)
    guide = method.task.scored_model(randomise(with_pooler(big, 0), seed=4), {
        "classifier.weight": torch.randn(2, 16), "classifier.bias": torch.randn(2)
    })  # fmt: skip
    for model in (student, guide):
        model.double()
    found = method.losses(student, guide, batch)
    ours, theirs = {"hidden": []}, {"hidden": []}
    with torch.no_grad():
        z, t = (
            m(batch.ids, batch.visible, batch.types, seen).tolist() for m, seen in ((student, ours), (guide, theirs))
        )
    layer = {"skip": 2, "last": 3}[matched]  # of 4: every second, or the one before the last
    labels = np.mean([-math.log(softmax(z[row])[batch.targets[row]]) for row in range(6)])
    soft = 0.0
    for row in range(6):
        p, q = softmax([x / 4 for x in t[row]]), softmax([x / 4 for x in z[row]])
        soft += 16 / 6 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    squares = []
    for row in range(6):
        a, b = ours["hidden"][1][row, 0].numpy(), theirs["hidden"][layer][row, 0].numpy()
        squares += ((a / math.sqrt(a @ a) - b / math.sqrt(b @ b)) ** 2).tolist()
    expected = {"labels": 0.7 * labels, "soft targets": 0.3 * soft, "patience": 20 * np.mean(squares)}
    assert {name: float(term.detach()) for name, term in found.items()} == pytest.approx(expected, rel=1e-9)
    assert all(value > 0 for value in expected.values())


@pytest.mark.parametrize(
    ("matched", "have", "want", "layers"),
    [
        ("skip", 12, 6, [2, 4, 6, 8, 10]),  # the paper's two students of BERT base, section 4.2
        ("skip", 12, 3, [4, 8]),
        ("last", 12, 6, [7, 8, 9, 10, 11]),
        ("last", 12, 3, [10, 11]),
    ],
)
def test_the_imitated_layers_are_the_papers(matched, have, want, layers):
    """Harm: the last layer, which the classifier reads, is pulled in two directions; or layers are off by one."""
    assert (
        list(Pkd(PkdOptions(matched=matched), 10).imitated_layers(Shape(layers=have), Shape(layers=want)).values())
        == layers
    )


@pytest.mark.parametrize(
    ("options", "wanted", "says"),
    [
        ({}, {"hidden": 16}, "choose fewer layers"),
        ({}, {"layers": 1}, "at least 2, got 1; use 2 layers"),
        ({}, {"layers": 3}, "use 2 or 4 layers, or imitate the last ones"),
        ({}, {"layers": 9}, "at most its teacher's 4"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_what_works(options, wanted, says):
    """Harm: a patience of no layer at all, or of layers that do not meet."""
    with pytest.raises(ShapeError, match=says):
        Pkd(parse_options(PkdOptions, options), 10).student_shape(Shape(layers=4, hidden=32, heads=4), wanted)
    assert Pkd(PkdOptions(matched="last"), 10).student_shape(Shape(layers=4, hidden=32, heads=4), {"layers": 3})


def test_it_reads_no_corpus_and_only_tasks_with_classes():
    """Harm: `--corpus` obeyed in silence by a method that never opens it; a task whose score is no accuracy."""
    method = Pkd(PkdOptions(), 10)
    assert method.task.corpus("auto", "nltk:not-there") == "nltk:not-there"  # nothing of it is read
    with pytest.raises(ConfigError, match="task grammar and reads no corpus, got nltk:brown"):
        method.task.corpus("nltk:brown", "microworld")
    assert {"grammar", "sentence_polarity", "qc", "rte", "glue-mnli"} <= set(TASKS)
    assert not {"squad", "glue-stsb", "glue-cola", "glue-mrpc"} & set(TASKS)


def test_the_student_starts_as_the_teachers_first_layers_without_a_head():
    """Harm: "initialised from its teacher" in the lesson, random weights in the run."""
    big, method = teacher(layers=4), Pkd(PkdOptions(), 10)
    shape = method.student_shape(big.shape, {})
    assert (shape.layers, shape.pooler, shape.mlm_head) == (2, True, False)
    student, known = method.init_student(big, shape, 0).bert, big.state_dict()
    fresh = {"pooler.weight", "pooler.bias"}
    assert set(student.state_dict()) - set(known) == fresh
    assert all(torch.equal(tensor, known[name]) for name, tensor in student.state_dict().items() if name not in fresh)
    own = randomise(with_pooler(big, 0), seed=9)
    again = method.init_student(own, shape, 0).bert
    assert torch.equal(again.pooler.weight, own.pooler.weight)  # a teacher's own pooler is inherited


def test_a_run_learns_the_task_says_so_and_its_student_can_be_taken_on(easy, tmp_path, capsys):
    """Harm: a card whose score is of filling in words; a student that no page, verb or further run can use."""
    options = {"teacher_lr": 2e-3, "lr": 3e-3, "teacher_epochs": 8}
    config = tiny("pkd", steps=40, batch=16, length=32, options=options)
    run = new_run(tmp_path, config)
    events = finish(config, run)
    made = run.card()
    scores = made["scores"]
    assert set(scores) == {
        *("grammar_accuracy", "grammar_loss", "teacher_grammar_accuracy", "teacher_grammar_loss", "retained"),
    }
    assert scores["grammar_accuracy"] > 0.9
    assert scores["retained"] == pytest.approx(scores["grammar_accuracy"] / scores["teacher_grammar_accuracy"])
    (start,) = [event for event in events if event["kind"] == "start"]
    assert start["measure"] == made["measure"]
    assert made["measure"]["title"] == "Accuracy on grammar"
    assert made["classes"] == list(easy.classes)
    shares = [event["share"] for event in events if event["kind"] == "prepare" and "share" in event]
    assert shares == sorted(shares)
    assert shares
    again = finish(config, new_run(tmp_path, config))
    assert not any("share" in event for event in again)  # the teacher is in the cache
    assert [event["losses"] for event in again if event["kind"] == "step"] == [
        event["losses"] for event in events if event["kind"] == "step"
    ]
    with pytest.raises(ProbeError, match="no masked-LM head: it learned a task"):
        fill_in(load_model(run.student_dir).bert, tokenizer(), "the [MASK] .")
    assert main(["evaluate", run.id, "--runs", str(tmp_path), "--device", "cpu"]) == 2
    assert "score it on a --task" in capsys.readouterr().err
    found = teacher_card(f"run:{run.id}", tmp_path)
    assert not found.has_head
    assert load_teacher(f"run:{run.id}", tmp_path).bert.head is not None  # new and untrained, as the card says


def test_a_stop_is_heard_while_the_teacher_learns(easy, tmp_path):
    """Harm: a Stop button that waits for minutes of fine-tuning."""
    config = tiny("pkd", options={"teacher_epochs": 50, "teacher_lr": 1.1e-4})
    run, events = new_run(tmp_path, config), []
    for event in train(config, run):
        events.append(event)
        if "share" in event:
            run.request_stop()
    assert events[-1]["kind"] == "stopped"
    assert sum("share" in event for event in events) == 1
    assert not run.student_dir.exists()
