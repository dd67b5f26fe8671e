"""Learning a task: what learns, what is looked at when, and what comes out for a task that can be learned."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from engine.model.bert import new_bert
from engine.settings.device import pick_device
from engine.tasks import scores as task_scores
from engine.tasks.batches import Encoded, encode
from engine.tasks.finetune import Recipe, TaskModel, _answer, _epochs, fine_tune, predict, task_loss
from engine.tasks.labelled import Example, Splits, Task, TaskError, dealt
from engine.tasks.linear_probe import Features
from engine.tasks.scores import retained, score
from tests.fixtures.builders import teacher, tokenizer

NOUNS = ("girl", "boy", "king", "queen", "fox", "owl", "cat", "horse")
QUICK = Recipe(epochs=4, batch=16, lr=5e-3, length=24)


def easy(count=200):
    """Whether anybody sleeps: a task that one word decides."""
    rng = np.random.default_rng(0)
    examples = []
    for index in range(count):
        words = [*rng.choice(NOUNS, 3), str(rng.choice(["tree", "book"])), "sleeps" if index % 2 else "works"]
        examples.append(
            Example(" ".join([words[i] for i in rng.permutation(5)]) + f" {NOUNS[index % 8]}", label=index % 2)
        )
    return dealt(examples)


EASY = Task("easy", "Sleeps?", "Made here.", easy, ("no", "yes"), ("accuracy", "f1"))
AMOUNT = Task("amount", "How many", "Made here.", easy, (), ("pearson", "spearman"))
ANSWERS = Task("where", "Where?", "Made here.", easy, (), ("exact match", "answer f1"), answers=True)


@pytest.fixture(scope="module")
def fresh():
    """An untrained encoder wide enough to learn something."""
    return new_bert(teacher(hidden=32, ffn=64).shape, seed=0)


def test_a_task_that_can_be_learned_is_learned(fresh):
    """Harm: every model scores at chance, and a comparison of them says nothing."""
    before = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
    shares = []
    found = fine_tune(fresh, tokenizer(), EASY, easy(), QUICK, 0, pick_device("cpu"), shares.append)
    assert found["test"]["accuracy"] > 0.9
    assert shares == sorted(shares)
    assert 0 < shares[0] <= shares[-1] <= 1
    assert all(torch.equal(tensor, before[name]) for name, tensor in fresh.state_dict().items())
    again = fine_tune(fresh, tokenizer(), EASY, easy(), QUICK, 0, pick_device("cpu"))
    assert again["test"] == found["test"]
    assert again["validations"] == found["validations"]


def test_numbers_and_answers_are_learned_too(fresh):
    """Harm: half of GLUE, and SQuAD, run to their end and learn nothing."""
    rng, numbers, places = np.random.default_rng(0), [], []
    for index in range(300):
        count = index % 5
        words = ["cat"] * count + ["owl"] * (5 - count)
        numbers.append(
            Example(" ".join(rng.permutation(words)) + " " + " ".join(rng.choice(NOUNS[:4], 2)), label=float(count))
        )
        line = [str(word) for word in rng.choice(NOUNS[:4], 5)]
        line[index % 5] = str(rng.choice(["barn", "beach"]))
        text = " ".join(line)
        start = text.index(line[index % 5])
        places.append(Example("sleeps", text, (start, start + len(line[index % 5])), (line[index % 5],)))
    parts = [Splits(some[:240], some[240:270], some[270:]) for some in (numbers, places)]
    found = fine_tune(fresh, tokenizer(), AMOUNT, parts[0], dataclasses.replace(QUICK, epochs=5), 0, pick_device("cpu"))
    assert found["test"]["pearson"] > 0.8
    found = fine_tune(
        fresh, tokenizer(), ANSWERS, parts[1], dataclasses.replace(QUICK, epochs=5), 0, pick_device("cpu")
    )
    assert found["test"]["exact match"] > 0.8
    with pytest.raises(TaskError, match="fine-tune"):
        Features(fresh, tokenizer(), ANSWERS, parts[1], pick_device("cpu"))


def test_the_test_set_is_looked_at_once_and_only_at_the_end(fresh, monkeypatch):
    """Harm: the state that happened to be best on the test set is the one that is reported."""
    seen, splits = [], easy()
    real = predict

    def watched(model, data, *rest):
        seen.append("test" if data.examples is splits.test else "validation")
        assert data.examples is not splits.train
        return real(model, data, *rest)

    monkeypatch.setattr("engine.tasks.finetune.predict", watched)
    found = fine_tune(fresh, tokenizer(), EASY, splits, QUICK, 1, pick_device("cpu"))
    assert seen == ["validation"] * len(found["validations"]) + ["test"]
    assert found["validation"] == max(found["validations"])


def test_learning_ends_when_validation_no_longer_rises(fresh):
    """Harm: hours of epochs after the best one; or an end at the first dip."""
    recipe = dataclasses.replace(QUICK, lr=1e-9, epochs=6, patience=2)
    found = fine_tune(fresh, tokenizer(), EASY, easy(), recipe, 0, pick_device("cpu"))
    assert len(found["validations"]) == 3  # the first is the best; two more without a better one


def test_an_epoch_has_every_example_once():
    """Harm: the last, short batch is dropped, or long texts are never seen."""
    data = Encoded([[1] * (3 + index % 9) for index in range(101)], [], torch.zeros(101), [], [])
    batches = list(_epochs(data, Recipe(epochs=2, batch=8), seed=3))
    assert len(batches) == 2 * 13
    for epoch in (batches[:13], batches[13:]):
        assert sorted(np.concatenate(epoch).tolist()) == list(range(101))
    assert batches[0].tolist() != batches[13].tolist()


def test_pairs_are_told_apart_by_their_types():
    """Harm: premise and hypothesis in one heap."""
    data = encode([Example("the girl", "a fox sleeps", 1)], EASY, tokenizer(), 24)
    assert " ".join(tokenizer().convert_ids_to_tokens(data.ids[0])) == "[CLS] the girl [SEP] a fox sleeps [SEP]"
    assert data.types[0] == [0, 0, 0, 0, 1, 1, 1, 1]
    long = encode([Example("the girl " * 30, "a fox", 1)], EASY, tokenizer(), 16)
    assert len(long.ids[0]) == 16
    assert tokenizer().convert_ids_to_tokens(long.ids[0])[-3:] == ["a", "fox", "[SEP]"]


def test_an_answer_is_found_where_it_stands():
    """Harm: a span that begins after its end, in the question, or one token beside."""
    text = "the girl sleeps at the barn"
    example = Example("the girl", text, (16, 27), ("at the barn",))
    data = encode([example], ANSWERS, tokenizer(), 24)
    first, last = data.targets[0].tolist()
    assert tokenizer().convert_ids_to_tokens(data.ids[0][first : last + 1]) == ["at", "the", "barn"]
    ends = torch.zeros(2, len(data.ids[0]))
    ends[0, first], ends[1, last] = 5.0, 5.0
    ends[:, 1] = 9.0  # the question shouts
    assert _answer(ends, data.offsets[0], text) == "at the barn"
    ends[1, first - 1] = 20.0  # an end before the beginning
    assert text.index(_answer(ends, data.offsets[0], text)) >= 0
    cut = encode([example], ANSWERS, tokenizer(), 8)
    assert cut.targets.tolist() == [[-1, -1]]
    assert float(task_loss(torch.randn(1, 2, 8, requires_grad=True), cut.targets, ANSWERS)) == 0


def test_a_batch_does_not_change_what_is_predicted(fresh):
    """Harm: padding, or a neighbour in the batch, decides."""
    model = TaskModel(fresh, EASY, 0.1, 0)
    nn.init.normal_(model.top.weight)
    examples = [Example("the girl " * (1 + index % 7), label=0) for index in range(70)]
    data = encode(examples, EASY, tokenizer(), 24)
    whole = predict(model, data, EASY, tokenizer(), pick_device("cpu"))
    single = [
        predict(model, encode([one], EASY, tokenizer(), 24), EASY, tokenizer(), pick_device("cpu"))[0]
        for one in examples
    ]
    assert whole.tolist() == single


def test_a_linear_probe_leaves_the_encoder_and_finds_what_is_there(fresh):
    """Harm: 'frozen features' that were trained, or a probe that cannot read them."""
    before = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
    features = Features(fresh, tokenizer(), EASY, easy(), pick_device("cpu"))
    assert features.train.mean(0).abs().max() < 1e-4
    one, two, again = (features.probe(seed) for seed in (0, 1, 0))
    assert one["test"]["accuracy"] > 0.9  # a mean of word embeddings shows which words are there
    assert one["test"] == again["test"]
    assert {one["penalty"], two["penalty"]} <= {1e-4, 1e-3, 1e-2, 1e-1}
    assert all(torch.equal(tensor, before[name]) for name, tensor in fresh.state_dict().items())


def test_scores_are_made_once(fresh, monkeypatch, tmp_path):
    """Harm: a table that takes an hour to show again; or a new model with an old model's score."""
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path))
    first = score(fresh, tokenizer(), EASY, None, 2, pick_device("cpu"))
    assert set(first["scores"]) == {"accuracy", "f1"}
    assert first["scores"]["accuracy"]["mean"] == pytest.approx(np.mean(first["scores"]["accuracy"]["values"]))
    assert first["recipe"]["method"] == "probe"
    monkeypatch.setattr(task_scores, "Features", None)  # from here on nothing may be computed
    assert score(fresh, tokenizer(), EASY, None, 2, pick_device("cpu"))["scores"] == first["scores"]
    assert score(fresh, tokenizer(), EASY, None, 1, pick_device("cpu"))["scores"]["accuracy"]["interval"] is None
    with pytest.raises(TypeError):
        score(new_bert(fresh.shape, seed=5), tokenizer(), EASY, None, 1, pick_device("cpu"))
    with pytest.raises(TypeError):
        score(fresh, tokenizer(), EASY, None, 3, pick_device("cpu"))
    with pytest.raises(TaskError, match="At least one seed"):
        score(fresh, tokenizer(), EASY, None, 0, pick_device("cpu"))


def test_what_is_retained_is_a_ratio_of_means():
    """Harm: the figure in the table is not the one in the chart, or of another metric."""
    student, guide = (
        {"metric": "f1", "scores": {"f1": {"values": values}, "accuracy": {"values": [9.0]}}}
        for values in ([0.4, 0.5], [0.9, 0.9])
    )
    found = retained(student, guide)
    assert found["retained"] == pytest.approx(0.5)
    assert found["interval"] == pytest.approx(12.706 * 0.05 / 0.9, rel=1e-3)
