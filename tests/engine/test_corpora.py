import os
from pathlib import Path

import nltk
import numpy as np
import pytest
import torch

from engine import corpora
from engine.corpora import CorpusError, mask, open_corpus
from tests.engine.builders import new_tokenizer, tokenizer

HERE = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.usefixtures("few_held_out")
REAL_NLTK = Path(os.environ.get("NLTK_DATA") or HERE.parent / "shared" / "nltk_data")


@pytest.fixture(scope="module")
def speaker():
    """The microworld's tokenizer."""
    return tokenizer()


@pytest.fixture(scope="module")
def world(speaker, few_held_out):
    """1,000 training rows of the microworld."""
    return open_corpus("microworld", speaker, 32, 1000)


def numbers(corpus, steps, size, seed):
    """Which training rows each of the batches 0..steps-1 holds, told from their true tokens."""
    places = {}
    for index, row in enumerate(corpus.rows):
        places.setdefault(tuple(row[row != 0]), []).append(index)
    found = []
    for step in range(steps):
        batch = corpus.batch(step, size, seed)
        ids = batch.ids.numpy().copy()
        ids.ravel()[batch.positions.numpy()] = batch.targets.numpy()
        found += [places[tuple(row[row != 0])][0] for row in ids]
    return found


def nltk_folder(root, name="brown", files=30):
    """A corpus in the Brown corpus's own format: one file a document, words with tags, a sentence a line."""
    folder = root / "corpora" / name
    folder.mkdir(parents=True)
    people = ("girl", "boy", "king", "queen", "fox")
    for index in range(files):
        line = f"the/at {people[index % 5]}/nn sleeps/vbz at/in the/at {('barn', 'beach', 'cave')[index % 3]}/nn ./."
        again = f"``/`` {people[(index // 5) % 5]}/nn ''/'' washes/vbz {index}/cd ./."
        (folder / f"ca{index:02}").write_text(f"\n\t{line}\n\n\t{again}\n")
    (folder / "cats.txt").write_text("".join(f"ca{index:02} news\n" for index in range(files)))


@pytest.fixture
def tiny_brown(tmp_path, monkeypatch):
    """A Brown corpus of 30 documents, the only one on this machine."""
    nltk_folder(tmp_path)
    reader = nltk.corpus.util.LazyCorpusLoader(
        "brown",
        nltk.corpus.CategorizedTaggedCorpusReader,
        r"c[a-z]\d\d",
        cat_file="cats.txt",
        tagset="brown",
        encoding="ascii",
    )
    monkeypatch.setattr(nltk.corpus, "brown", reader)
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])


def test_rows_are_framed_padded_and_of_one_length(world, speaker):
    """Harm: rows without [CLS], or with padding in the middle, look unlike anything the teacher knows."""
    assert world.rows.shape == (1000, 32)
    assert world.held_out.shape == (corpora.HELD_OUT_ROWS, 32)
    for row in (*world.rows, *world.held_out):
        end = int((row != speaker.pad_token_id).sum())
        assert row[0] == speaker.cls_token_id
        assert row[end - 1] == speaker.sep_token_id
        assert (row[:end] != speaker.pad_token_id).all()
        assert not np.isin(row[1 : end - 1], speaker.all_special_ids).any()


def test_held_out_documents_never_reach_a_training_batch(speaker, monkeypatch):
    """Harm: every score in the product is a memory test."""
    told = [[f"the {noun} sleeps at the barn ."] for noun in speaker.get_vocab() if noun[0] != "["] * 2
    monkeypatch.setitem(corpora.SOURCES, "told", lambda rest: lambda: told)
    corpus = open_corpus("told", speaker, 16, 10_000)
    train, held_out = ({tuple(row) for row in part} for part in (corpus.rows, corpus.held_out))
    assert len(train | held_out) == len(told) // 2
    assert not train & held_out
    assert 0.04 < len(held_out) / len(train | held_out) < 0.2


def test_what_is_held_out_does_not_depend_on_how_much_is_trained_on(world, speaker):
    """Harm: two runs of different length are scored on different text."""
    shorter = open_corpus("microworld", speaker, 32, 10)
    assert np.array_equal(shorter.held_out, world.held_out)
    assert np.array_equal(shorter.rows, world.rows[:10])


def test_a_batch_depends_on_seed_and_step_alone(world, speaker):
    """Harm: a resumed run sees other data than an uninterrupted one."""
    batches = {(seed, step): world.batch(step, 8, seed) for step in (0, 3, 700) for seed in (0, 1)}
    other = open_corpus("microworld", speaker, 32, 1000)
    for (seed, step), batch in reversed(batches.items()):  # in another order, by another corpus object
        for one, two in zip(vars(batch).values(), vars(other.batch(step, 8, seed)).values(), strict=True):
            assert one.equal(two)
    assert len({tuple(batch.ids.ravel().tolist()) for batch in batches.values()}) == len(batches)


def test_every_row_comes_once_an_epoch(speaker, monkeypatch):
    """Harm: part of the text is never learned from, part twice."""
    words = [word for word in speaker.get_vocab() if word.isalpha()]
    told = [[" ".join((words[i % 150], words[i // 150 + 150]))] for i in range(300)]
    monkeypatch.setitem(corpora.SOURCES, "told", lambda rest: lambda: told)
    corpus = open_corpus("told", speaker, 8, 10_000)
    rows = len(corpus.rows)
    seen = numbers(corpus, steps=2 * rows // 7 + 1, size=7, seed=0)  # 7 does not divide: batches span epochs
    first, second = seen[:rows], seen[rows : 2 * rows]
    assert sorted(first) == sorted(second) == list(range(rows))
    assert first != second
    assert first != list(range(rows))


def test_masks_follow_the_papers_rates(world, speaker):
    """Harm: a harder or easier game than every published number is about."""
    rng = np.random.default_rng(0)
    rows = np.tile(world.rows[world.rows[:, -1] != 0], (60, 1))[:20_000]  # full rows: no row is too short to mask
    batch = mask(rows, speaker, rng)
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
    batch = mask(rows, speaker, np.random.default_rng(0))
    assert batch.ids.shape == (100, 3)
    assert batch.positions.tolist() == [6 * index + 1 for index in range(50)]
    assert set(batch.targets.tolist()) == {word}


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_parts_of_a_batch_are_the_batch(world, count):
    """Harm: a process that predicts the words of its neighbour's rows, or a row that nobody learns from."""
    batch = world.batch(0, 7, 0)
    parts = batch.parts(count)
    assert {len(part.ids) for part in parts} <= {7 // count, 7 // count + 1}
    for name in ("ids", "visible", "targets"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(batch, name))
    found = [part.ids.flatten()[part.positions] for part in parts]
    assert torch.equal(torch.cat(found), batch.ids.flatten()[batch.positions])


def test_held_out_masks_are_the_same_in_every_run(world):
    """Harm: two students compared on different questions."""
    first, second = list(world.held_out_batches(size=10)), list(world.held_out_batches(size=10))
    assert sum(len(batch.ids) for batch in first) == len(world.held_out)
    assert all(one.ids.equal(two.ids) for one, two in zip(first, second, strict=True))


def test_a_tokenizer_that_pads_does_not_pad_sentences(speaker):
    """Harm: with a tokenizer file that has padding switched on, every row is one sentence and 100 paddings."""
    padding = new_tokenizer()
    padding.backend_tokenizer.enable_padding(length=24)
    padding.backend_tokenizer.enable_truncation(3)
    assert np.array_equal(
        open_corpus("microworld", padding, 32, 50).rows, open_corpus("microworld", speaker, 32, 50).rows
    )


@pytest.mark.usefixtures("tiny_brown")
def test_an_nltk_corpus_is_read_as_documents_of_sentences(speaker):
    """Harm: real English never works outside the machine it was written on."""
    corpus = open_corpus("nltk:brown", speaker, 24, 1000)
    texts = [speaker.decode([token for token in row if token]) for row in (*corpus.rows, *corpus.held_out)]
    assert len(texts) == 30
    assert len(set(texts)) > 20
    for text in texts:
        assert text.startswith("[CLS] the ")
        assert "/" not in text
        assert text.endswith(". [SEP]")
    source = list(corpora.find_corpus("nltk:brown")())
    assert sorted(source) == sorted(
        [
            f"the {('girl', 'boy', 'king', 'queen', 'fox')[i % 5]} sleeps at the {('barn', 'beach', 'cave')[i % 3]} .",
            f'" {("girl", "boy", "king", "queen", "fox")[(i // 5) % 5]} " washes {i} .',
        ]
        for i in range(30)
    )
    assert source != sorted(source)  # mixed, so that the first rows are not all of one kind of text


@pytest.mark.usefixtures("tiny_brown")
def test_an_nltk_corpus_that_is_not_there_says_how_to_get_it(speaker):
    """Harm: nltk's own ten-line message, or a download behind the user's back."""
    with pytest.raises(CorpusError, match="nltk.downloader gutenberg") as caught:
        open_corpus("nltk:brown+gutenberg", speaker, 24, 10)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("wikipedia", "microworld, nltk"),
        ("", "microworld, nltk"),
        ("../../etc/passwd", "microworld, nltk"),
        ("microworld:farm", "no parts"),
        ("nltk:", "nltk:brown"),
        ("nltk:../brown", "nltk:brown"),
        ("nltk:/etc/passwd", "nltk:brown"),
        ("nltk:Brown", "nltk:brown"),
        ("nltk:nosuchcorpus", "nosuchcorpus"),
        ("nltk:re", "re is not on this machine"),
        ("nltk:__init__", "nltk:brown"),
    ],
)
def test_an_unknown_corpus_is_one_sentence(name, word, speaker):
    """Harm: a traceback, or a path of the machine opened because somebody typed it."""
    with pytest.raises(CorpusError, match=word) as caught:
        open_corpus(name, speaker, 24, 10)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("tiny_brown")
def test_a_tokenizer_of_another_language_is_refused(speaker, monkeypatch):
    """Harm: hours of training on [UNK]."""
    foreign = [[f"der hund schläft neben dem haus {index} ."] for index in range(100)]
    monkeypatch.setitem(corpora.SOURCES, "told", lambda rest: lambda: foreign)
    with pytest.raises(CorpusError, match=r"\d+% of the words of told are unknown"):
        open_corpus("told", speaker, 24, 10)


@pytest.mark.parametrize("documents", [[], [["the girl sleeps ."]], [[], [""]]])
def test_a_corpus_too_small_to_hold_anything_out_is_refused(documents, speaker, monkeypatch):
    """Harm: a division by zero held-out rows at the end of the run."""
    monkeypatch.setitem(corpora.SOURCES, "told", lambda rest: lambda: documents)
    with pytest.raises(CorpusError, match="too few documents"):
        open_corpus("told", speaker, 24, 10)


@pytest.mark.skipif(not (REAL_NLTK / "corpora" / "brown.zip").exists(), reason="the real Brown corpus is not here")
def test_the_real_brown_corpus_fills_rows(monkeypatch):
    """Harm: the reader knows our own toy files and not the real thing."""
    from engine import teachers

    english = teachers.load("minilm").tokenizer
    reader = nltk.corpus.util.LazyCorpusLoader(
        "brown", nltk.corpus.CategorizedTaggedCorpusReader, r"ca\d\d", cat_file="cats.txt", encoding="ascii"
    )  # one of its 15 genres, 44 documents
    monkeypatch.setattr(nltk.corpus, "brown", reader)
    monkeypatch.setattr(nltk.data, "path", [str(REAL_NLTK)])
    corpus = open_corpus("nltk:brown", english, 64, 400)
    assert corpus.rows.shape == (400, 64)
    filled = (corpus.rows != english.pad_token_id).mean()
    assert filled > 0.6  # whole sentences packed, not one a row
    for row in corpus.rows[:50]:
        end = int((row != english.pad_token_id).sum())
        assert row[end - 1] == english.sep_token_id
    assert (corpus.rows == english.unk_token_id).mean() < 0.001


def test_a_batch_wastes_little_on_padding(world):
    """Harm: one long row in every batch, and half of all arithmetic goes into padding."""
    filled = [world.batch(step, 16, 0).visible.float().mean().item() for step in range(60)]
    rows = world.rows[np.random.default_rng(0).permutation(960)].reshape(60, 16, 32) != 0
    by_chance = [part[:, : part.sum(1).max()].mean() for part in rows]
    assert np.mean(filled) > np.mean(by_chance)
