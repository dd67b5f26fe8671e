import dataclasses
import json

import pytest

from engine.learning.masked_lm import masked_lm_score
from engine.methods.base import step_flops
from engine.methods.kinds.shape_changing import ShapeChanging
from engine.methods.registry import METHODS
from engine.methods.scratch import Scratch
from engine.model.bert import Bert
from engine.model.saved_models import load_model
from engine.settings.device import pick_device
from engine.sizing.cost import compactor_parameters, parameters
from engine.sizing.shape import Shape
from engine.sizing.step_flops import BatchShape
from engine.teachers import catalog as teachers
from engine.text.corpora import open_corpus
from engine.training import schedule as moments
from engine.training.loop import train
from engine.training.plan import plan
from tests.fixtures.builders import finish, losses, new_run, of_kind, tiny, tokenizer

pytestmark = pytest.mark.usefixtures("few_held_out")
CARD = {
    *(
        "format",
        "checksum",
        "id",
        "teacher",
        "method",
        "options",
        "corpus",
        "steps",
        "steps_done",
        "complete",
        "batch",
        "length",
        "seed",
    ),
    *(
        "accumulate",
        "processes",
        "warmup",
        "clip",
        "precision",
        "masking",
        "mask_share",
        "evaluations",
        "checkpoints",
        "parent",
        "budget",
        "tokens",
        "flops",
        "training_seconds",
        "shape",
        "parameters",
        "encoder_parameters",
        "scores",
    ),
    *("versions", "device", "device_name", "teacher_parameters", "seconds", "measure", "measured", "classes"),
}


@pytest.fixture(scope="module", params=["wid", "scratch", "soft_targets"])
def told(request, few_held_out, tmp_path_factory):
    """(config, run, events) of a whole run of every method."""
    config = tiny(request.param)
    run = new_run(tmp_path_factory.mktemp("runs"), config)
    return config, run, finish(config, run)


def test_events_are_json_and_tell_a_story_in_order(told):
    """Harm: a watch page that waits for an event that never comes, or cannot read the one that does."""
    config, _, events = told
    for event in events:
        assert json.loads(json.dumps(event, allow_nan=False)) == event
    kinds = [event["kind"] for event in events if event["kind"] != "attention"]  # test_attention_film.py looks at those
    assert kinds[:5] == ["prepare", "prepare", "start", "teacher", "evaluation"]
    assert kinds[-3:] == ["prepare", "evaluation", "finished"]
    assert kinds.count("start") == kinds.count("finished") == 1
    steps = [event["step"] for event in of_kind(events, "step")]
    assert steps == list(range(1, config.steps + 1))
    told_steps = [event["step"] for event in events if "step" in event]
    assert told_steps == sorted(told_steps)
    assert [event["step"] for event in of_kind(events, "checkpoint")] == [12, 24]
    assert [event["step"] for event in of_kind(events, "evaluation")] == [0, 12, 24]


def test_a_step_adds_up(told):
    """Harm: the total curve is not the sum of its parts, or the time left is of another run."""
    config, _, events = told
    for event in of_kind(events, "step"):
        assert event["loss"] == pytest.approx(sum(event["losses"].values()))
        assert event["seconds_left"] == pytest.approx(event["step_seconds"] * (config.steps - event["step"]))
        assert event["tokens_per_second"] > 0
        assert 0 < event["learning_rate"] <= 1


def test_what_was_spent_is_counted_from_the_first_step_on(told):
    """Harm: an axis in tokens or FLOPs that starts again, runs backward, or is another than the card's."""
    config, run, events = told
    corpus = open_corpus("microworld", tokenizer(), config.length, config.steps * config.batch)
    planned, tokens, flops = plan(config), 0, 0
    teacher_shape = teachers.teacher_card("blank").shape
    for event in of_kind(events, "step"):
        batch = corpus.batch(event["step"] - 1, config.batch, config.seed)
        tokens += int(batch.visible.sum())
        work = [BatchShape(*batch.ids.shape, len(batch.targets))]
        flops += step_flops(planned.method, teacher_shape, planned.shape, work, event["step"])
        assert (event["tokens"], event["flops"]) == (tokens, flops)
    seconds = [event["training_seconds"] for event in of_kind(events, "step")]
    assert seconds == sorted(seconds)
    card = run.card()
    assert (card["tokens"], card["flops"]) == (tokens, flops)
    assert seconds[-1] <= card["training_seconds"] + 0.01 <= card["seconds"] + 0.01


def test_the_start_tells_the_exact_sizes(told):
    """Harm: parameter counts on the watch page that differ from those on the build page."""
    config, _, events = told
    (start,) = of_kind(events, "start")
    student, blank = Shape.from_json(start["student_shape"]), teachers.teacher_card("blank").shape
    assert start["teacher_shape"] == blank.to_json()
    assert (student.layers, student.hidden, student.heads, student.ffn) == (1, 32, 4, 64)
    assert start["teacher_parameters"] == parameters(blank)
    assert start["student_parameters"] == parameters(student)
    kept = blank.replace(layers=1)
    training = parameters(kept) + compactor_parameters(kept) if config.method == "wid" else parameters(student)
    assert start["training_parameters"] == training
    assert start["steps"] == config.steps
    assert start["device"] == "cpu"


def test_the_card_says_everything_about_the_student(told):
    """Harm: a student whose origin, recipe or quality nobody can find out."""
    config, run, events = told
    card = run.card()
    assert set(card) == CARD
    assert events[-1]["card"] == card
    for name in ("teacher", "method", "steps", "batch", "length", "seed", "parent"):
        assert card[name] == getattr(config, name)
    options = METHODS[config.method].Options(**config.options)
    assert card["options"] == dataclasses.asdict(options)  # defaults too: they may change
    assert (card["id"], card["corpus"], card["complete"], card["steps_done"]) == (run.id, "microworld", True, 24)
    assert card["parameters"] == parameters(Shape.from_json(card["shape"]))
    assert card["encoder_parameters"] == parameters(Shape.from_json(card["shape"]).replace(mlm_head=False))
    assert set(card["versions"]) == {"heirloom", "python", "torch", "transformers"}
    assert load_model(run.student_dir).card == card


def test_the_scores_are_those_of_the_saved_student(told):
    """Harm: a number on the card that the saved model does not reach."""
    config, run, events = told
    model = load_model(run.student_dir)
    corpus = open_corpus("microworld", model.tokenizer, config.length, 10)
    found = masked_lm_score(model.bert, corpus, pick_device("cpu"))
    scores = run.card()["scores"]
    last = of_kind(events, "evaluation")[-1]
    assert found["loss"] == pytest.approx(scores["masked_loss"], abs=1e-5)
    assert found["accuracy"] == pytest.approx(scores["masked_accuracy"])
    assert (last["loss"], last["accuracy"]) == (scores["masked_loss"], scores["masked_accuracy"])
    taught = masked_lm_score(teachers.load_teacher("blank").bert, corpus, pick_device("cpu"))
    assert scores["teacher_masked_loss"] == pytest.approx(taught["loss"], abs=1e-5)
    ratio = scores["masked_accuracy"] / scores["teacher_masked_accuracy"] if scores["teacher_masked_accuracy"] else 0.0
    assert scores["retained"] == pytest.approx(ratio)


def test_a_wid_student_of_full_depth_starts_as_its_teacher(tmp_path):
    """Harm: "born as its teacher" on the page, another model in the first evaluation."""
    config = tiny("wid", steps=4, student={"hidden": 32, "heads": 4, "ffn": 64})
    events = finish(config, new_run(tmp_path, config))
    (taught,), born = of_kind(events, "teacher"), of_kind(events, "evaluation")[0]
    assert born["step"] == 0
    assert born["loss"] == pytest.approx(taught["loss"], abs=1e-5)
    assert born["accuracy"] == taught["accuracy"]


@pytest.mark.parametrize(("method", "at"), [("wid", 6), ("wid", 9), ("scratch", 3)])
def test_a_stopped_run_leaves_an_honest_student(method, at, tmp_path):
    """Harm: a stop that loses everything, or a half-closed student sold as the one that was ordered."""
    config = tiny(method, options={"cuts": 2} if method == "wid" else {})
    run, events = new_run(tmp_path, config), []
    for event in train(config, run):
        events.append(event)
        if event["kind"] == "step" and event["step"] == at - 1:
            run.request_stop()
    assert events[-1]["kind"] == "stopped"
    assert [event["step"] for event in of_kind(events, "step")] == list(range(1, at + 1))
    model, card = load_model(run.student_dir), run.card()
    assert (card["complete"], card["steps_done"], card["steps"]) == (False, at, 24)
    assert type(model.bert) is Bert
    shape = model.bert.shape
    assert card["shape"] == shape.to_json()
    assert card["parameters"] == sum(p.numel() for p in model.bert.parameters())
    if method == "wid":  # half of what must go has gone or is going, after the second cut all of it
        assert (shape.hidden, shape.inner, shape.ffn) == ((80, 80, 288) if at < 8 else (32, 32, 64))
    corpus = open_corpus("microworld", model.tokenizer, config.length, 10)
    assert masked_lm_score(model.bert, corpus, pick_device("cpu"))["loss"] == pytest.approx(
        card["scores"]["masked_loss"]
    )


def test_a_run_of_no_steps_is_a_run(tmp_path):
    """Harm: one-shot methods and "what does the untrained student score" divide by zero."""
    config = tiny("scratch", steps=0)
    run = new_run(tmp_path, config)
    events = finish(config, run)
    assert events[-1]["kind"] == "finished"
    assert events[-1]["step"] == 0
    assert run.card()["complete"]
    assert losses(events) == {}
    assert load_model(run.student_dir).bert.shape.hidden == 32


def test_a_student_never_reads_beyond_its_positions(tmp_path):
    """Harm: a length of 512 typed for a model of 64 positions ends in an index error."""
    config = tiny("scratch", steps=2, length=512)
    assert finish(config, new_run(tmp_path, config))[-1]["kind"] == "finished"


def test_training_does_not_depend_on_when_it_is_scored(tmp_path):
    """Harm: looking at a run more often changes its student."""
    often, seldom = (tiny("scratch", steps=12, evaluations=n, checkpoints=n) for n in (1, 12))
    assert losses(finish(often, new_run(tmp_path, often))) == losses(finish(seldom, new_run(tmp_path, seldom)))


class Painted(ShapeChanging, Scratch):
    """A method whose student could change shape, with something to draw of it."""

    def snapshot(self, student, tokens, length, predicted):
        """Something small."""
        return {"forward": [tokens, length, predicted]}

    def next_form(self, student, optimizer):
        """The same."""
        return student, optimizer

    def cost_phases(self, teacher, student):
        """One."""
        return [1]

    def state(self, student):
        """Nothing."""
        return {}

    def restore(self, student, state):
        """Nothing."""
        return student


def test_pictures_come_with_the_steps_they_are_of(tmp_path, monkeypatch):
    """Harm: a picture on the watch page that is older than the curve beside it; or thousands of them in a long run."""
    monkeypatch.setitem(METHODS, "scratch", Painted)
    monkeypatch.setattr(moments, "PICTURES", 3)
    config = tiny("scratch", steps=7, batch=8, accumulate=2, length=20)
    events = finish(config, new_run(tmp_path, config))
    drawn = {"kind": "picture", "forward": [4 * 20, 20, 4 * 3]}
    assert of_kind(events, "picture") == [{**drawn, "step": step} for step in (0, 2, 5, 7)]
    for before, event in zip(events, events[1:], strict=False):
        if event["kind"] == "picture":
            assert (before["kind"], before["step"]) == ("evaluation" if event["step"] == 0 else "step", event["step"])
    run = new_run(tmp_path, config)
    for event in train(config, run):
        if event["kind"] == "checkpoint":
            break
    assert [event["step"] for event in of_kind(finish(config, run), "picture")] == [5, 7]  # none of the start again
