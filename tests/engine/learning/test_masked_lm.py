"""How well a model fills in hidden words, and how sure one can be of it."""

import math

import numpy as np
import pytest
import torch

from engine.learning.masked_lm import _mean_over_rows, masked_lm_report, masked_lm_score
from engine.settings.device import pick_device
from engine.text.corpora import open_corpus
from tests.fixtures.builders import randomise, teacher, tokenizer


def test_a_score_says_how_many_words_it_was_asked_for():
    """Harm: two students told apart by a difference that is noise."""
    corpus = open_corpus("microworld", tokenizer(), 24, 10, held_out_rows=70)
    score = masked_lm_score(teacher(), corpus, pick_device("cpu"))
    assert score["words"] == sum(len(batch.targets) for batch in corpus.held_out_batches(64))


def test_a_report_is_what_numpy_counts():
    """Harm: a KL the wrong way round, a top five of six, or a mean of means of unequal batches."""
    corpus = open_corpus("microworld", tokenizer(), 24, 10, held_out_rows=70)
    student, guide = teacher(), randomise(teacher(), seed=9)
    report = masked_lm_report(student, corpus, pick_device("cpu"), guide)
    rows = {name: [] for name in report}
    for batch in corpus.held_out_batches():
        with torch.no_grad():
            mine, theirs = (
                torch.log_softmax(model(batch.ids, batch.visible).double(), -1).numpy() for model in (student, guide)
            )
        width = batch.ids.shape[1]
        for place, target in zip(batch.positions.tolist(), batch.targets.tolist(), strict=True):
            p, q = theirs[divmod(place, width)], mine[divmod(place, width)]
            best = sorted(range(len(q)), key=lambda token: -q[token])  # noqa: B023
            rows["loss"].append(-q[target])
            rows["accuracy"].append(best[0] == target)
            rows["top5"].append(target in best[:5])
            rows["agreement"].append(best[0] == p.argmax())
            rows["kl"].append((np.exp(p) * (p - q)).sum())
    for name, values in rows.items():
        assert report[name]["value"] == pytest.approx(np.mean(values), rel=1e-4, abs=1e-6), name
    assert report["loss"]["interval"] > 0
    assert report["kl"]["interval"] > 0
    score = masked_lm_score(student, corpus, pick_device("cpu"))
    assert score["accuracy"] == pytest.approx(report["accuracy"]["value"])
    assert score["loss"] == pytest.approx(report["loss"]["value"], rel=1e-5)
    assert set(masked_lm_report(student, corpus, pick_device("cpu"))) == {"loss", "accuracy", "top5"}


@pytest.mark.parametrize("is_share", [True, False])
def test_an_interval_over_rows_holds_the_mean(is_share):
    """Harm: words of one row counted as if each were asked for by itself: an interval half as wide as it should be."""
    rng, held = np.random.default_rng(0), []
    for _ in range(1000):
        words = rng.integers(3, 12, 200)
        chance = rng.beta(2, 2, 200)  # some rows are easy, some hard
        found = _mean_over_rows(rng.binomial(words, chance).astype(float), words.astype(float), is_share)
        held.append(found["low"] <= 0.5 <= found["high"])
        assert found["interval"] == pytest.approx((found["high"] - found["low"]) / 2)
    assert np.mean(held) == pytest.approx(0.95, abs=0.025)


def test_evaluation_counts_right(few_held_out):
    """Harm: a score averaged over batches instead of over words, or taken over visible words."""
    bert, corpus = teacher(), open_corpus("microworld", tokenizer(), 24, 10)
    found, nats, right, count = masked_lm_score(bert.train(), corpus, pick_device("cpu")), 0.0, 0, 0
    assert bert.training  # as it was
    for batch in corpus.held_out_batches(size=64):
        with torch.no_grad():
            scores = bert(batch.ids, batch.visible).flatten(0, 1).double().numpy()
        for position, target in zip(batch.positions.tolist(), batch.targets.tolist(), strict=True):
            row = scores[position]
            nats += math.log(np.exp(row - row.max()).sum()) + row.max() - row[target]
            right += int(row.argmax() == target)
            count += 1
    assert found["loss"] == pytest.approx(nats / count, rel=1e-5)
    assert found["accuracy"] == pytest.approx(right / count)
