"""Laws of a run's film: it shows what the student does, costs the student nothing, and survives what runs survive."""

import json

import numpy as np
import pytest
import torch

from engine.inheritance import attention_film
from engine.inheritance.attention_film import AttentionFilm
from engine.inheritance.head_distances import head_distances
from engine.inheritance.probe_sentences import held_out_sentences, sentence_attention
from engine.inheritance.score import best_pairs, inheritance_score
from engine.methods.registry import METHODS
from engine.model.saved_models import load_model
from engine.storage.attention_frames import (
    read_frames,
)
from engine.teachers.catalog import load_teacher, teacher_card
from engine.text.corpora import open_corpus
from engine.training import setup
from engine.training.loop import train
from engine.training.schedule import frames
from tests.fixtures.builders import finish, losses, new_run, tiny, tokenizer

pytestmark = pytest.mark.usefixtures("few_held_out")
SHAPE = {"layers": 2, "hidden": 32, "heads": 4, "ffn": 64}


def attention_events(events):
    """The events of the film."""
    return [event for event in events if event["kind"] == "attention"]


@pytest.fixture(scope="module")
def filmed(few_held_out, tmp_path_factory):
    """(config, run, events) of a WID run with a film."""
    config = tiny("wid", student=SHAPE, options={"cuts": 2})
    run = new_run(tmp_path_factory.mktemp("runs"), config)
    return config, run, finish(config, run)


def test_every_evaluation_has_its_picture(filmed):
    """Harm: a curve of scores with holes, or a slider that stops where there is no picture."""
    _, run, events = filmed
    found = attention_events(events)
    assert [event["step"] for event in found] == [e["step"] for e in events if e["kind"] == "evaluation"] == [0, 12, 24]
    stored = read_frames(run.attention_dir)
    assert stored.steps == [0, 12, 24]
    assert [event["snapshot"] for event in found] == [f"step-{step:09d}.npz" for step in stored.steps]
    for event in found:
        assert json.loads(json.dumps(event, allow_nan=False)) == event
        for name in ("matched", "random", "shuffled"):
            assert event[name]["low"] <= event[name]["high"]
    assert sum(path.stat().st_size for path in run.attention_dir.iterdir()) < 400_000


def test_the_last_picture_is_the_saved_student_s(filmed):
    """Harm: the film shows the network that trained, and its score is of another model than the one on disk."""
    config, run, events = filmed
    model, stored = load_model(run.student_dir), read_frames(run.attention_dir)
    corpus = open_corpus("microworld", model.tokenizer, config.length, 10)
    sentences, pad = held_out_sentences(corpus, attention_film.SENTENCES), model.tokenizer.pad_token_id
    seen, taught = (
        sentence_attention(one, sentences, "cpu", pad) for one in (model.bert, load_teacher("blank").bert.eval())
    )
    for index, words in enumerate(stored.tokens):
        assert words == sentences.tokens[index]
        for found, maps in ((stored.student(24, index), seen), (stored.teacher(index), taught)):
            kept = np.concatenate(found).astype(float) / 255
            np.testing.assert_allclose(kept, maps.maps[index], atol=0.5 / 255 + 1e-4)
    apart = head_distances(seen.maps, taught.maps, sentences.counted())
    bits = apart.mean(0)[tuple(best_pairs(apart.mean(0)).T)].mean()
    assert attention_events(events)[-1]["matched"]["distance"] == pytest.approx(bits, abs=1e-4)


def test_a_student_born_as_its_teacher_scores_one_at_birth(tmp_path):
    """Harm: the null at step 0, or another model, is taken for the heir."""
    config = tiny("wid", steps=4, student={"hidden": 32, "heads": 4, "ffn": 64})
    first = attention_events(finish(config, new_run(tmp_path, config)))[0]
    assert first["same_place"]["score"] == pytest.approx(1, abs=1e-4)
    assert first["matched"]["score"] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("method", ["wid", "scratch"])
def test_filming_changes_nothing_of_what_is_learned(method, tmp_path, monkeypatch):
    """Harm: looking at a run changes its student, for the random students took the run's random numbers."""
    config = tiny(method, student=SHAPE, options={"cuts": 2} if method == "wid" else {})
    states, results = [], []
    for filmed in (True, False):
        if not filmed:
            monkeypatch.setattr(setup, "start_film", lambda *_: None)
        run = new_run(tmp_path, config)
        events = []
        for event in train(config, run):
            events.append(event)
            if event["kind"] == "step" and event["step"] == 1:
                states.append(torch.get_rng_state())
        results.append((losses(events), load_model(run.student_dir).bert.state_dict()))
        assert bool(attention_events(events)) == filmed
    assert results[0][0] == results[1][0]
    assert all(torch.equal(tensor, results[1][1][name]) for name, tensor in results[0][1].items())
    assert torch.equal(*states)


def test_a_resumed_run_has_the_film_of_one_that_nobody_stopped(filmed, tmp_path):
    """Harm: a film with a tear, or a second one beside the first, after every resume."""
    config, _, whole = filmed
    run, events = new_run(tmp_path, config), []
    for event in train(config, run):
        events.append(event)
        if event == {"kind": "checkpoint", "step": 12}:
            break  # the process dies here
    events += finish(config, run)
    found = {event["step"]: event for event in attention_events(events)}
    assert set(found) == {0, 12, 24}
    for event in attention_events(whole):
        for pairing in ("matched", "same_place"):
            assert found[event["step"]][pairing] == pytest.approx(event[pairing], abs=1e-4)
    assert read_frames(run.attention_dir).steps == [0, 12, 24]


@pytest.mark.parametrize(("evaluations", "most"), [(0, 0), (1, 1), (11, 11), (40, 40), (41, 21), (1000, 40)])
def test_a_long_run_keeps_few_pictures(evaluations, most):
    """Harm: a run that is scored a thousand times fills the disk with mosaics."""
    steps = set(range(50, 50 * evaluations + 1, 50))
    found = frames(steps)
    assert found <= steps
    assert len(found) == most


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_filmed(method, tmp_path):
    """Harm: a method whose student is wrapped fails at its first evaluation."""
    config = tiny(method, steps=14, evaluations=1, options={"teacher_epochs": 1} if method == "pkd" else {})
    found = attention_events(finish(config, new_run(tmp_path, config)))
    assert [event["step"] for event in found] == [0, 14]
    assert all(-5 < event["matched"]["score"] <= 1 for event in found)


def test_heads_that_close_on_the_way_are_filmed(tmp_path):
    """Harm: strategy head, whose student has too many heads until the last has closed, ends in an index error."""
    student = {"layers": 2, "hidden": 64, "heads": 2}
    config = tiny("wid", student=student, options={"cuts": 2, "strategy": "head"}, evaluations=2)
    run = new_run(tmp_path, config)
    finish(config, run)
    stored = read_frames(run.attention_dir)
    assert [len(stored.student(step, 0)[0]) for step in (0, 24)] == [4, 2]


def test_a_full_disk_costs_the_film_and_not_the_run(tmp_path, monkeypatch):
    """Harm: hours of training end because a picture could not be saved."""

    def full(*_):
        raise OSError(28, "No space left on device")

    for name in ("write_frame_sentences", "write_teacher_frame", "write_student_frame"):
        monkeypatch.setattr(attention_film, name, full)
    config = tiny("scratch", steps=2)
    events = finish(config, new_run(tmp_path, config))
    assert events[-1]["kind"] == "finished"
    assert [event["snapshot"] for event in attention_events(events)] == ["", ""]


def test_text_without_a_sentence_costs_the_film_and_not_the_run():
    """Harm: a corpus of single words cannot be trained on any more."""
    corpus = open_corpus("microworld", tokenizer(), 16, 10)
    bare = type(corpus)("bare", corpus.rows, corpus.held_out.first(0), corpus.tokenizer)
    assert attention_film.start_film(None, load_teacher("blank").bert, bare, teacher_card("blank").shape, "cpu") is None


def test_the_score_in_the_film_is_the_score_of_the_report(filmed):
    """Harm: the curve and the page beside it define the score differently."""
    config, run, events = filmed
    model, teacher = load_model(run.student_dir), load_teacher("blank")
    corpus = open_corpus("microworld", model.tokenizer, config.length, 10)
    film = AttentionFilm(run.attention_dir, teacher.bert.eval(), corpus, model.bert.shape, "cpu")
    seen = sentence_attention(model.bert, film.sentences, "cpu", film.pad)
    apart = head_distances(seen.maps, film.teacher.maps, film.keep)
    found = inheritance_score(apart, film.nulls, best_pairs(apart.mean(0)), seen.layers, True).total
    assert attention_events(events)[-1]["matched"] == pytest.approx(found.to_json(), abs=1e-4)
