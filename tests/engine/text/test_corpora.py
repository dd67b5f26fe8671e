"""Rows, batches and masks: the same for the same config, on every machine and whatever lies in the cache."""

import hashlib
import os
from pathlib import Path

import nltk
import numpy as np
import pytest

from engine.text import corpora, sources
from engine.text.corpora import Corpus, open_corpus
from engine.text.masking import Masking
from engine.text.sources import SOURCES, Source, find_source
from engine.text.token_store import CorpusError, TokenRows
from tests.fixtures.builders import new_tokenizer, source_of, tokenizer

HERE = Path(__file__).resolve().parents[3]
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


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """The store's folder in a cache of this test's own."""
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


def held_out(document):
    """Whether no training batch may hold `document`."""
    return sources.document_hash(document) % corpora.HELD_OUT_IN == 0


def numbers(corpus, steps, size, seed):
    """Which training rows each of the batches 0..steps-1 holds, told from their true tokens."""
    places = {}
    for index, row in enumerate(corpus.rows[:]):
        places.setdefault(tuple(row[row != 0]), []).append(index)
    found = []
    for step in range(steps):
        batch = corpus.batch(step, size, seed)
        ids = batch.ids.numpy().copy()
        ids.ravel()[batch.positions.numpy()] = batch.targets.numpy()
        found += [places[tuple(row[row != 0])][0] for row in ids]
    return found


def test_rows_are_framed_padded_and_of_one_length(world, speaker):
    """Harm: rows without [CLS], or with padding in the middle, look unlike anything the teacher knows."""
    assert world.rows[:].shape == (1000, 32)
    assert world.held_out[:].shape == (corpora.HELD_OUT_ROWS, 32)
    for row in (*world.rows[:], *world.held_out[:]):
        end = int((row != speaker.pad_token_id).sum())
        assert row[0] == speaker.cls_token_id
        assert row[end - 1] == speaker.sep_token_id
        assert (row[:end] != speaker.pad_token_id).all()
        assert not np.isin(row[1 : end - 1], speaker.all_special_ids).any()


def test_held_out_documents_never_reach_a_training_batch(speaker, monkeypatch):
    """Harm: every score in the product is a memory test."""
    told = [[f"the {noun} sleeps at the barn ."] for noun in speaker.get_vocab() if noun[0] != "["] * 2
    monkeypatch.setitem(SOURCES, "told", source_of(told))
    corpus = open_corpus("told", speaker, 16, 10_000)
    train, held_out = ({tuple(row) for row in part[:]} for part in (corpus.rows, corpus.held_out))
    assert len(train | held_out) == len(told) // 2
    assert not train & held_out
    assert 0.04 < len(held_out) / len(train | held_out) < 0.2


@pytest.mark.parametrize("cache", ["the one that is there", "empty_cache"])
def test_rows_do_not_depend_on_how_many_there_are(cache, world, speaker, request):
    """Harm: two runs of different length are scored on different text, or an earlier run changes what a later sees."""
    if cache == "empty_cache":
        request.getfixturevalue(cache)
    shorter = open_corpus("microworld", speaker, 32, 10, held_out_rows=20)
    assert np.array_equal(shorter.held_out[:], world.held_out[:20])
    assert np.array_equal(shorter.rows[:], world.rows[:10])
    more = open_corpus("microworld", speaker, 32, 10, held_out_rows=50)
    assert np.array_equal(more.held_out[:32], world.held_out[:])
    assert len(more.held_out) == 50


# (batch size, seed) -> what the batches were when the shipped teacher was made, from a corpus held in memory
MICROWORLD = {
    (64, 0): "3c3aace7db4798a4",
    (64, 3): "6792f37ce8a8f3d6",
    (7, 0): "df73fa7b283d07f6",
    (7, 3): "02efe46d8681682c",
    (3000, 0): "4d5bed4665e71527",
    (3000, 3): "0148eccc21ce79c6",
}
BROWN = {  # since sentences longer than a row go on in the next one
    (64, 0): "c3b3ea3cc4a514d4",
    (64, 3): "9c3d03f8dd437794",
    (7, 0): "b38403ee17889686",
    (7, 3): "50c7e40b42d488cf",
}


def digest_of(batches):
    """A hash of everything in `batches`."""
    seen = hashlib.blake2b(digest_size=8)
    for batch in batches:
        for tensor in (batch.ids, batch.visible, batch.positions, batch.targets):
            seen.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return seen.hexdigest()


def golden(corpus, size, seed):
    """A hash of batches from the start, around the end of the first epoch, and from the fourth."""
    border = len(corpus.rows) // size
    steps = [0, 1, 16, max(0, border - 1), border, border + 1, 3 * border + 17]
    return digest_of(corpus.batch(step, size, seed) for step in steps)


def golden_held_out(corpus):
    """Hashes of the held-out batches, 64 and 7 rows wide."""
    return digest_of(corpus.held_out_batches(64)), digest_of(corpus.held_out_batches(7))


@pytest.mark.usefixtures("empty_cache")
def test_batches_are_to_the_bit_what_they_have_always_been(speaker):
    """Harm: a published run cannot be repeated, and nobody notices."""
    corpus = open_corpus("microworld", speaker, 48, 2000)
    assert {at: golden(corpus, *at) for at in MICROWORLD} == MICROWORLD
    assert golden_held_out(corpus) == ("18bc4546970177ef", "36ccf38930d036d4")


@pytest.mark.parametrize(("count", "size"), [(1, 1), (5, 8), (100, 7), (1000, 16), (1000, 63), (1024, 64), (1025, 64)])
def test_the_order_of_an_epoch_is_that_of_sorting_all_of_it(count, size):
    """Harm: a window worked out by itself is not the part of the epoch that it stands for."""
    lengths = np.random.default_rng(1).integers(3, 30, count)
    rows = TokenRows(np.zeros(lengths.sum(), np.uint16), np.concatenate([[0], lengths.cumsum()]), 30, 0)
    corpus = Corpus("any", rows, rows, None)
    for seed, epoch in ((0, 0), (3, 2)):
        rng = np.random.default_rng([seed, 1, epoch])
        shuffled, order = rng.permutation(count), []
        for start in range(0, count, 16 * size):
            window = sorted(shuffled[start : start + 16 * size], key=lambda row: lengths[row])
            batches = [window[at : at + size] for at in range(0, len(window), size)]
            whole = len(window) // size
            order += [batches[index] for index in rng.permutation(whole)] + batches[whole:]
        found = [corpus._window(size, seed, epoch, window) for window in range(-(-count // (16 * size)))]
        assert np.concatenate(found).tolist() == sum(order, [])


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
    monkeypatch.setitem(SOURCES, "told", source_of(told))
    corpus = open_corpus("told", speaker, 8, 10_000)
    rows = len(corpus.rows)
    seen = numbers(corpus, steps=2 * rows // 7 + 1, size=7, seed=0)  # 7 does not divide: batches span epochs
    first, second = seen[:rows], seen[rows : 2 * rows]
    assert sorted(first) == sorted(second) == list(range(rows))
    assert first != second
    assert first != list(range(rows))


def test_held_out_masks_are_the_same_in_every_run(world):
    """Harm: two students compared on different questions."""
    first, second = list(world.held_out_batches(size=10)), list(world.held_out_batches(size=10))
    assert sum(len(batch.ids) for batch in first) == len(world.held_out)
    assert all(one.ids.equal(two.ids) for one, two in zip(first, second, strict=True))


@pytest.mark.usefixtures("empty_cache")
def test_a_tokenizer_that_pads_does_not_pad_sentences(world):
    """Harm: with a tokenizer file that has padding switched on, every row is one sentence and 100 paddings."""
    padding = new_tokenizer()
    padding.backend_tokenizer.enable_padding(length=24)
    padding.backend_tokenizer.enable_truncation(3)
    assert np.array_equal(open_corpus("microworld", padding, 32, 50).rows[:], world.rows[:50])


def test_a_tokenizer_of_another_language_is_refused(speaker, monkeypatch):
    """Harm: hours of training on [UNK]."""
    foreign = [[f"der hund schläft neben dem haus {index} ."] for index in range(100)]
    monkeypatch.setitem(SOURCES, "told", source_of(foreign))
    with pytest.raises(CorpusError, match=r"\d+% of the words of told are unknown"):
        open_corpus("told", speaker, 24, 10)


def test_the_language_is_not_judged_by_a_single_row(speaker, monkeypatch):
    """Harm: a teacher cannot be scored on few rows because the first of them is a foreign name."""
    words = [word for word in speaker.get_vocab() if word.isalpha()]
    told = [[f"{word} sleeps ."] for word in words]
    foreign = next([f"{word} schläft unter dem dach"] for word in words if held_out([f"{word} schläft unter dem dach"]))
    monkeypatch.setitem(SOURCES, "told", source_of([foreign, *told]))
    row = open_corpus("told", speaker, 24, 10, held_out_rows=1).held_out[:]
    assert (row == speaker.unk_token_id).sum() == 4


@pytest.mark.parametrize("documents", [[], [["the girl sleeps ."]], [[], [""]]])
def test_a_corpus_too_small_to_hold_anything_out_is_refused(documents, speaker, monkeypatch):
    """Harm: a division by zero held-out rows at the end of the run."""
    monkeypatch.setitem(SOURCES, "told", source_of(documents))
    with pytest.raises(CorpusError, match="too few documents"):
        open_corpus("told", speaker, 24, 10)


@pytest.mark.skipif(not (REAL_NLTK / "corpora" / "brown.zip").exists(), reason="the real Brown corpus is not here")
def test_the_real_brown_corpus_fills_rows(monkeypatch):
    """Harm: the reader knows our own toy files and not the real thing."""
    from engine.teachers import catalog as teachers

    english = teachers.load_teacher("minilm").tokenizer
    reader = nltk.corpus.util.LazyCorpusLoader(
        "brown", nltk.corpus.CategorizedTaggedCorpusReader, r"ca\d\d", cat_file="cats.txt", encoding="ascii"
    )  # one of its 15 genres, 44 documents
    monkeypatch.setattr(nltk.corpus, "brown", reader)
    monkeypatch.setattr(nltk.data, "path", [str(REAL_NLTK)])
    corpus = open_corpus("nltk:brown", english, 64, 400)
    rows = corpus.rows[:]
    assert rows.shape == (400, 64)
    filled = (rows != english.pad_token_id).mean()
    assert filled > 0.6  # whole sentences packed, not one a row
    for row in rows[:50]:
        end = int((row != english.pad_token_id).sum())
        assert row[end - 1] == english.sep_token_id
    assert (rows == english.unk_token_id).mean() < 0.001
    assert {at: golden(corpus, *at) for at in BROWN} == BROWN
    assert golden_held_out(corpus) == ("6248a2ba09a6f5ce", "f3e80a96eb6df333")


def test_a_batch_wastes_little_on_padding(world):
    """Harm: one long row in every batch, and half of all arithmetic goes into padding."""
    filled = [world.batch(step, 16, 0).visible.float().mean().item() for step in range(60)]
    rows = world.rows[np.random.default_rng(0).permutation(960)].reshape(60, 16, 32) != 0
    by_chance = [part[:, : part.sum(1).max()].mean() for part in rows]
    assert np.mean(filled) > np.mean(by_chance)


def never(*_):
    """For what must not be asked for again."""
    raise AssertionError("asked again")


@pytest.mark.usefixtures("empty_cache")
def test_a_corpus_is_read_and_tokenised_once(speaker, monkeypatch):
    """Harm: every start of a run waits for the tokenizer."""
    first, source = open_corpus("microworld", speaker, 24, 300), find_source("microworld")
    monkeypatch.setattr(corpora, "_encoded", never)
    monkeypatch.setitem(SOURCES, "microworld", lambda rest: Source(never, source.fingerprint))
    again = open_corpus("microworld", speaker, 24, 200)
    assert np.array_equal(again.rows[:], first.rows[:200])
    with pytest.raises(AssertionError, match="asked again"):
        open_corpus("microworld", speaker, 24, 301)


def test_another_text_tokenizer_or_length_has_other_rows(empty_cache, monkeypatch):
    """Harm: the tokens of one teacher, or of the text as it was last week, are fed to another."""
    text = [[f"the girl sleeps at the barn {'.' * index}"] for index in range(50)]
    other_text = [*text[:-1], ["the boy sleeps ."]]
    speaker, other_speaker, other_frame = (new_tokenizer() for _ in range(3))
    other_speaker.add_tokens(["barn ."])
    other_frame.cls_token = "[MASK]"
    found = {}
    for documents, talks, length in (
        (text, speaker, 12),
        (other_text, speaker, 12),
        (text, other_speaker, 12),
        (text, other_frame, 12),
        (text, speaker, 11),
        (text, speaker, 12),
        (text, new_tokenizer(), 12),
    ):
        monkeypatch.setitem(SOURCES, "told", source_of(documents))
        corpus = open_corpus("told", talks, length, 1000)
        found.setdefault(np.concatenate([corpus.rows[:], corpus.held_out[:]]).tobytes(), []).append(1)
    assert sorted(map(len, found.values())) == [1, 1, 1, 1, 3]
    assert len(list(empty_cache.glob("*/*/about.json"))) == 2 * len(found)


def test_documents_are_held_a_few_at_a_time(speaker, monkeypatch):
    """Harm: a corpus larger than memory ends the run that reads it."""
    alive = most = read = 0
    words = [word for word in speaker.get_vocab() if word.isalpha()][:100]

    class Document(list):
        def __init__(self, index):
            nonlocal alive, most, read
            super().__init__([f"{words[index % 100]} {words[index // 100]} ."] * (index % 3))
            alive, read = alive + 1, read + 1
            most = max(most, alive)

        def __del__(self):
            nonlocal alive
            alive -= 1

    monkeypatch.setattr(corpora, "SENTENCES", 16)
    source = Source(lambda: (Document(index) for index in range(4000)), lambda: "many")
    monkeypatch.setitem(SOURCES, "told", lambda rest: source)
    corpus = open_corpus("told", speaker, 12, 10**9)
    assert len(corpus.rows) > 2000
    assert read >= 4000
    assert most < 100


def test_a_long_document_is_tokenised_in_parts(speaker, monkeypatch):
    """Harm: a book without an end takes all memory, or its parts come in another order."""
    texts = [[f"the girl {'sleeps ' * (index % 5)}." for index in range(100)], ["the boy sleeps ."]]
    expected = [list(corpora.packed_rows(texts, speaker, length)) for length in (8, 30)]
    monkeypatch.setattr(corpora, "SENTENCES", 7)
    assert [list(corpora.packed_rows(texts, speaker, length)) for length in (8, 30)] == expected
    assert [list(corpora.packed_rows([text], speaker, 8)) for text in texts] == [expected[0][:-1], expected[0][-1:]]


@pytest.mark.usefixtures("empty_cache")
def test_only_the_microworld_has_a_most(speaker, monkeypatch):
    """Harm: a run on real text sees a fraction of it; or the microworld, which has no end, is generated for hours."""
    monkeypatch.setattr("engine.text.sources.MICROWORLD_ROWS", 60)
    assert len(open_corpus("microworld", speaker, 24, 10**9).rows) == 60
    told = [[f"the girl sleeps {'.' * (index % 9)} {'!' * (index // 9)}"] for index in range(100)]
    monkeypatch.setitem(SOURCES, "told", source_of(told))
    assert len(open_corpus("told", speaker, 24, 10**9).rows) > 60


@pytest.mark.usefixtures("empty_cache")
def test_reading_tells_how_far_it_is(speaker):
    """Harm: an hour of silence before the first step."""
    told = []
    open_corpus("microworld", speaker, 24, 300, progress=told.append)
    assert told == [corpora.HELD_OUT_ROWS, 300]


def test_held_out_masks_do_not_follow_the_training_masks(speaker):
    """Harm: two runs that hide differently are scored on different questions."""
    one, two = (open_corpus("microworld", speaker, 32, 10, masking=it) for it in (Masking(), Masking("ngram", 0.5)))
    assert golden_held_out(one) == golden_held_out(two)
    assert len(two.batch(0, 10, 0).positions) > 2 * len(one.batch(0, 10, 0).positions)
