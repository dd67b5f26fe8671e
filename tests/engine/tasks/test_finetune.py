"""Learning a task: what learns, what is looked at when, and what comes out for a task that can be learned."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from engine.settings.device import pick_device
from engine.tasks.batches import EncodedExamples, encode_examples
from engine.tasks.finetune import (
    FineTuneRecipe,
    TaskModel,
    _batches_of_epochs,
    _likeliest_answer,
    fine_tune_and_test,
    predict,
    task_loss,
)
from engine.tasks.labelled import Example, Splits, Task, TaskError
from engine.tasks.linear_probe import FrozenFeatures
from tests.fixtures.builders import tokenizer
from tests.fixtures.easy_task import EASY, NOUNS, QUICK, easy

AMOUNT = Task("amount", "How many", "Made here.", easy, (), ("pearson", "spearman"))
ANSWERS = Task("where", "Where?", "Made here.", easy, (), ("exact match", "answer f1"), answers=True)


def test_a_task_that_can_be_learned_is_learned(fresh):
    """Harm: every model scores at chance, and a comparison of them says nothing."""
    before = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
    shares = []
    found = fine_tune_and_test(fresh, tokenizer(), EASY, easy(), QUICK, 0, pick_device("cpu"), shares.append)
    assert found["test"]["accuracy"] > 0.9
    assert shares == sorted(shares)
    assert 0 < shares[0] <= shares[-1] <= 1
    assert all(torch.equal(tensor, before[name]) for name, tensor in fresh.state_dict().items())
    again = fine_tune_and_test(fresh, tokenizer(), EASY, easy(), QUICK, 0, pick_device("cpu"))
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
    found = fine_tune_and_test(
        fresh, tokenizer(), AMOUNT, parts[0], dataclasses.replace(QUICK, epochs=5), 0, pick_device("cpu")
    )
    assert found["test"]["pearson"] > 0.8
    found = fine_tune_and_test(
        fresh, tokenizer(), ANSWERS, parts[1], dataclasses.replace(QUICK, epochs=5), 0, pick_device("cpu")
    )
    assert found["test"]["exact match"] > 0.8
    with pytest.raises(TaskError, match="fine-tune"):
        FrozenFeatures(fresh, tokenizer(), ANSWERS, parts[1], pick_device("cpu"))


def test_the_test_set_is_looked_at_once_and_only_at_the_end(fresh, monkeypatch):
    """Harm: the state that happened to be best on the test set is the one that is reported."""
    seen, splits = [], easy()
    real = predict

    def watched(model, data, *rest):
        seen.append("test" if data.examples is splits.test else "validation")
        assert data.examples is not splits.train
        return real(model, data, *rest)

    monkeypatch.setattr("engine.tasks.finetune.predict", watched)
    found = fine_tune_and_test(fresh, tokenizer(), EASY, splits, QUICK, 1, pick_device("cpu"))
    assert seen == ["validation"] * len(found["validations"]) + ["test"]
    assert found["validation"] == max(found["validations"])


def test_learning_ends_when_validation_no_longer_rises(fresh):
    """Harm: hours of epochs after the best one; or an end at the first dip."""
    recipe = dataclasses.replace(QUICK, lr=1e-9, epochs=6, patience=2)
    found = fine_tune_and_test(fresh, tokenizer(), EASY, easy(), recipe, 0, pick_device("cpu"))
    assert len(found["validations"]) == 3  # the first is the best; two more without a better one


def test_an_epoch_has_every_example_once():
    """Harm: the last, short batch is dropped, or long texts are never seen."""
    data = EncodedExamples([[1] * (3 + index % 9) for index in range(101)], [], torch.zeros(101), [], [])
    batches = list(_batches_of_epochs(data, FineTuneRecipe(epochs=2, batch=8), seed=3))
    assert len(batches) == 2 * 13
    for epoch in (batches[:13], batches[13:]):
        assert sorted(np.concatenate(epoch).tolist()) == list(range(101))
    assert batches[0].tolist() != batches[13].tolist()


def test_an_answer_is_found_where_it_stands():
    """Harm: a span that begins after its end, in the question, or one token beside."""
    text = "the girl sleeps at the barn"
    example = Example("the girl", text, (16, 27), ("at the barn",))
    data = encode_examples([example], ANSWERS, tokenizer(), 24)
    first, last = data.targets[0].tolist()
    assert tokenizer().convert_ids_to_tokens(data.ids[0][first : last + 1]) == ["at", "the", "barn"]
    ends = torch.zeros(2, len(data.ids[0]))
    ends[0, first], ends[1, last] = 5.0, 5.0
    ends[:, 1] = 9.0  # the question shouts
    assert _likeliest_answer(ends, data.offsets[0], text) == "at the barn"
    ends[1, first - 1] = 20.0  # an end before the beginning
    assert text.index(_likeliest_answer(ends, data.offsets[0], text)) >= 0
    cut = encode_examples([example], ANSWERS, tokenizer(), 8)
    assert cut.targets.tolist() == [[-1, -1]]
    assert float(task_loss(torch.randn(1, 2, 8, requires_grad=True), cut.targets, ANSWERS)) == 0


def test_a_batch_does_not_change_what_is_predicted(fresh):
    """Harm: padding, or a neighbour in the batch, decides."""
    model = TaskModel(fresh, EASY, 0.1, 0)
    nn.init.normal_(model.top.weight)
    examples = [Example("the girl " * (1 + index % 7), label=0) for index in range(70)]
    data = encode_examples(examples, EASY, tokenizer(), 24)
    whole = predict(model, data, EASY, tokenizer(), pick_device("cpu"))
    single = [
        predict(model, encode_examples([one], EASY, tokenizer(), 24), EASY, tokenizer(), pick_device("cpu"))[0]
        for one in examples
    ]
    assert whole.tolist() == single
