"""Which tokens are hidden, and that a batch's parts are the batch."""

import numpy as np
import pytest
import torch

from engine.settings.transformers_import import bert_tokenizer
from engine.text.corpora import open_corpus
from engine.text.masking import Masking, mask_tokens
from tests.fixtures.builders import tokenizer

pytestmark = pytest.mark.usefixtures("few_held_out")


@pytest.fixture(scope="module")
def speaker():
    """The microworld's tokenizer."""
    return tokenizer()


@pytest.fixture(scope="module")
def world(speaker, few_held_out):
    """1,000 training rows of the microworld."""
    return open_corpus("microworld", speaker, 32, 1000)


def test_masks_follow_the_papers_rates(world, speaker):
    """Harm: a harder or easier game than every published number is about."""
    rng = np.random.default_rng(0)
    rows = world.rows[:]
    rows = np.tile(rows[rows[:, -1] != 0], (60, 1))[:20_000]  # full rows: no row is too short to mask
    batch = mask_tokens(rows, speaker, rng)
    maskable = ~np.isin(rows, speaker.all_special_ids)
    positions, ids = batch.positions.numpy(), batch.ids.numpy().ravel()
    assert len(positions) / maskable.sum() == pytest.approx(0.15, abs=0.005)
    hidden = ids[positions]
    assert (hidden == speaker.mask_token_id).mean() == pytest.approx(0.8, abs=0.01)
    kept = (hidden == batch.targets.numpy()).mean()  # a random word is the true one now and then
    assert kept == pytest.approx(0.1 + 0.1 / (len(speaker) - 5), abs=0.01)
    random_words = hidden[(hidden != speaker.mask_token_id) & (hidden != batch.targets.numpy())]
    assert len(random_words) / len(positions) == pytest.approx(0.1, abs=0.01)
    assert not np.isin(random_words, speaker.all_special_ids).any()
    assert len(np.unique(random_words)) == len(speaker) - 5


def test_only_chosen_words_change_and_targets_are_the_truth(world, speaker):
    """Harm: the loss asks for words that were never there, or for [SEP]."""
    for batch, rows in ((next(world.held_out_batches(64)), world.held_out[:64]),):
        width = batch.ids.shape[1]
        truth = rows[:, :width]
        assert (rows[:, width:] == speaker.pad_token_id).all()
        flat = np.zeros(truth.size, dtype=bool)
        flat[batch.positions.numpy()] = True
        chosen = flat.reshape(truth.shape)
        assert np.array_equal(batch.ids.numpy()[~chosen], truth[~chosen])
        assert np.array_equal(batch.targets.numpy(), truth[chosen])
        assert not np.isin(truth[chosen], speaker.all_special_ids).any()
        assert np.array_equal(batch.visible.numpy(), truth != speaker.pad_token_id)
        assert chosen.any(1).all()


def test_a_short_row_still_teaches_a_word_and_an_empty_one_none(speaker):
    """Harm: batches of short texts without a single target: a loss of NaN."""
    cls, sep, word = speaker.cls_token_id, speaker.sep_token_id, speaker.vocab["girl"]
    rows = np.array([[cls, word, sep, 0], [cls, sep, 0, 0]] * 50)
    batch = mask_tokens(rows, speaker, np.random.default_rng(0))
    assert batch.ids.shape == (100, 3)
    assert batch.positions.tolist() == [6 * index + 1 for index in range(50)]
    assert set(batch.targets.tolist()) == {word}


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_parts_of_a_batch_are_the_batch(world, count):
    """Harm: a process that predicts the words of its neighbour's rows, or a row that nobody learns from."""
    batch = world.batch(0, 7, 0)
    parts = batch.split(count)
    assert {len(part.ids) for part in parts} <= {7 // count, 7 // count + 1}
    for name in ("ids", "visible", "targets"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(batch, name))
    found = [part.ids.flatten()[part.positions] for part in parts]
    assert torch.equal(torch.cat(found), batch.ids.flatten()[batch.positions])


def words_of(rows, speaker):
    """(row, pos): the number of the word that a token belongs to, -1 where there is none; counted one by one."""
    found = np.full(rows.shape, -1)
    for r, row in enumerate(rows):
        word = -1
        for p, token in enumerate(row):
            if token in speaker.all_special_ids:
                continue
            if not speaker.convert_ids_to_tokens(int(token)).startswith("##") or found[r, p - 1] < 0:
                word += 1
            found[r, p] = word
    return found


@pytest.fixture(scope="module")
def piecewise():
    """(tokenizer, rows): a WordPiece vocabulary in which many words have two or three pieces."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"{w}{i}" for i in range(20) for w in ("a", "##b", "##c"))]
    speaker = bert_tokenizer({word: index for index, word in enumerate(words)})
    rng = np.random.default_rng(0)
    rows = np.zeros((400, 60), dtype=np.int64)
    for row in rows:
        end = rng.integers(50, 60)
        row[:end] = rng.integers(5, len(words), end)
        row[0], row[end] = speaker.cls_token_id, speaker.sep_token_id
    return speaker, rows


@pytest.mark.parametrize("kind", ["word", "ngram"])
@pytest.mark.parametrize("share", [0.15, 0.4])
def test_words_are_hidden_whole(piecewise, kind, share):
    """Harm: a word that is predicted from its own other half, which teaches spelling instead of meaning."""
    speaker, rows = piecewise
    batch = mask_tokens(rows, speaker, np.random.default_rng(1), Masking(kind, share))
    chosen = np.zeros(rows.size, dtype=bool)
    chosen[batch.positions] = True
    chosen, words = chosen.reshape(rows.shape), words_of(rows, speaker)
    assert not chosen[words < 0].any()
    runs = []
    for row in range(len(rows)):
        hidden = [chosen[row][words[row] == word] for word in range(words[row].max() + 1)]
        assert all(part.all() or not part.any() for part in hidden)
        whole = "".join("x" if part.all() else " " for part in hidden)
        runs += [len(run) for run in whole.split()]
        assert runs
    assert chosen[words >= 0].mean() == pytest.approx(share, abs=0.015)
    assert (np.mean(runs) > (1.45 if share == 0.15 else 2.0)) == (kind == "ngram")


def test_words_are_hidden_the_same_for_the_same_seed(piecewise):
    """Harm: a resumed run learns from other blanks than an uninterrupted one."""
    speaker, rows = piecewise
    one, two, other = (mask_tokens(rows, speaker, np.random.default_rng(seed), Masking("ngram")) for seed in (1, 1, 2))
    assert torch.equal(one.ids, two.ids)
    assert torch.equal(one.positions, two.positions)
    assert not torch.equal(one.ids, other.ids)
