"""Where documents come from: names, files on disk, and by what a changed text is noticed."""

import os
import shutil
import sys
import zipfile
from pathlib import Path

import nltk
import pytest

from engine.text import microworld, sources
from engine.text.corpora import open_corpus
from engine.text.sources import find_source
from engine.text.token_store import CorpusError
from tests.fixtures.builders import tokenizer

pytestmark = pytest.mark.usefixtures("few_held_out")


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


def brown_reader():
    """NLTK's own reader of the Brown corpus, which has not looked at any file yet."""
    reader, pattern = nltk.corpus.CategorizedTaggedCorpusReader, r"c[a-z]\d\d"
    return nltk.corpus.util.LazyCorpusLoader(
        "brown", reader, pattern, cat_file="cats.txt", tagset="brown", encoding="ascii"
    )


@pytest.fixture
def tiny_brown(tmp_path, monkeypatch):
    """A Brown corpus of 30 documents, the only one on this machine."""
    nltk_folder(tmp_path)
    monkeypatch.setattr(nltk.corpus, "brown", brown_reader())
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])


@pytest.mark.usefixtures("tiny_brown")
def test_an_nltk_corpus_is_read_as_documents_of_sentences():
    """Harm: real English never works outside the machine it was written on."""
    corpus = open_corpus("nltk:brown", tokenizer(), 24, 1000)
    texts = [tokenizer().decode([token for token in row if token]) for row in (*corpus.rows[:], *corpus.held_out[:])]
    assert len(texts) == 30
    assert len(set(texts)) > 20
    for text in texts:
        assert text.startswith("[CLS] the ")
        assert "/" not in text
        assert text.endswith(". [SEP]")
    source = list(find_source("nltk:brown").read())
    assert sorted(source) == sorted(
        [
            f"the {('girl', 'boy', 'king', 'queen', 'fox')[i % 5]} sleeps at the {('barn', 'beach', 'cave')[i % 3]} .",
            f'" {("girl", "boy", "king", "queen", "fox")[(i // 5) % 5]} " washes {i} .',
        ]
        for i in range(30)
    )
    assert source != sorted(source)  # mixed, so that the first rows are not all of one kind of text


@pytest.mark.usefixtures("tiny_brown")
def test_an_nltk_corpus_that_is_not_there_says_how_to_get_it():
    """Harm: nltk's own ten-line message; or minutes of waiting for a network that is not there."""
    with pytest.raises(CorpusError, match="nltk.downloader gutenberg") as caught:
        find_source("nltk:brown+gutenberg")
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("tiny_brown")
def test_an_nltk_corpus_is_fetched_when_it_is_read_and_not_before(monkeypatch, tmp_path):
    """Harm: a form that downloads while somebody types a name; or a network that is there and not used."""
    asked = []

    def fetch(names):
        if not (tmp_path / "fetched").exists():
            asked.extend(names)
            nltk_folder(tmp_path / "fetched", *names)

    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "fetched")])
    monkeypatch.setattr(sources, "fetch", fetch)
    monkeypatch.setattr(sources, "reachable", lambda url: True)
    reader = nltk.corpus.util.LazyCorpusLoader(
        "gutenberg", nltk.corpus.CategorizedTaggedCorpusReader, r"c[a-z]\d\d", cat_file="cats.txt"
    )
    monkeypatch.setattr(nltk.corpus, "gutenberg", reader)
    source = find_source("nltk:gutenberg")
    assert not asked
    assert len(list(source.read())) == 30
    assert asked == ["gutenberg"]
    source.fingerprint()
    assert asked == ["gutenberg"]


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
def test_an_unknown_corpus_is_one_sentence(name, word):
    """Harm: a traceback, or a path of the machine opened because somebody typed it."""
    with pytest.raises(CorpusError, match=word) as caught:
        find_source(name)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("tiny_brown")
def test_a_changed_text_is_noticed(tmp_path):
    """Harm: a run learns from the text as it was last week."""
    text = tmp_path / "corpora" / "brown" / "ca07"

    def fingerprint():
        return find_source("nltk:brown").fingerprint()

    before = fingerprint()
    assert fingerprint() == before
    os.utime(text, (0, 0))
    assert fingerprint() == before  # touched, but the same
    whole = text.read_bytes()
    text.write_bytes(whole.replace(b"sleeps", b"sleept"))  # of the same size
    changed = fingerprint()
    text.write_bytes(whole)
    assert fingerprint() == before != changed


@pytest.mark.usefixtures("tiny_brown")
def test_a_changed_zip_file_is_noticed(tmp_path, monkeypatch):
    """Harm: NLTK keeps its texts zipped; nothing in them ever seems to change."""
    folder = tmp_path / "corpora" / "brown"
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder)
    fingerprints, texts = [], []
    for word in (b"sleeps", b"sleept", b"sleeps"):
        with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as file:
            for name, contents in files.items():
                file.writestr(zipfile.ZipInfo(f"brown/{name}"), contents.replace(b"sleeps", word))
        monkeypatch.setattr(nltk.corpus, "brown", brown_reader())
        source = find_source("nltk:brown")
        fingerprints.append(source.fingerprint())
        texts.append(list(source.read()))
    assert texts[0] == texts[2] != texts[1]
    assert fingerprints[0] == fingerprints[2] != fingerprints[1]
    monkeypatch.setattr(nltk.corpus.brown, "_fileids", nltk.corpus.brown.fileids()[:-1])
    assert find_source("nltk:brown").fingerprint() not in fingerprints  # the same file, but less of it is read


def test_another_generator_is_another_microworld(monkeypatch):
    """Harm: a run learns from the stories that an earlier version wrote."""
    before = find_source("microworld").fingerprint()
    assert find_source("microworld").fingerprint() == before
    monkeypatch.setattr(sources, "MICROWORLD_SEED", 1)
    assert find_source("microworld").fingerprint() != before
    monkeypatch.undo()
    source = sources.inspect.getsource(microworld)
    monkeypatch.setattr(sources.inspect, "getsource", lambda _: source.replace("0.25", "0.26"))
    assert find_source("microworld").fingerprint() != before
    monkeypatch.undo()
    monkeypatch.setattr(sys, "version_info", (3, 99))
    assert find_source("microworld").fingerprint() != before


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"caf\xe9")], ids=["gone", "damaged"])
@pytest.mark.usefixtures("tiny_brown")
def test_a_text_that_cannot_be_read_is_one_sentence(harm, tmp_path):
    """Harm: a traceback, because somebody tidied up while the app was open."""
    source = find_source("nltk:brown")
    assert source.fingerprint()
    harm(tmp_path / "corpora" / "brown" / "ca07")
    with pytest.raises(CorpusError, match="brown cannot be read: .*; fetch it again") as caught:
        source.fingerprint(), list(source.read())
    assert "\n" not in str(caught.value)


def test_corpora_with_commas_between_take_turns(tmp_path, monkeypatch):
    """Harm: a run of few steps sees the first corpus only, or a comma in a file's name makes two files of it."""
    monkeypatch.setenv("HEIRLOOM_ROOTS", str(tmp_path))
    for name, count in (("a,b.txt", 2), ("c.txt", 4)):
        (tmp_path / name).write_text("\n\n".join(f"{name} {number}." for number in range(count)))
    both = find_source(f"file:{tmp_path}/a,b.txt, file:{tmp_path}/c.txt")
    assert [" ".join(it) for it in both.read()] == [
        "a,b.txt 0.", "c.txt 0.", "a,b.txt 1.", "c.txt 1.", "c.txt 2.", "c.txt 3.",
    ]  # fmt: skip
    alone = find_source(f"file:{tmp_path}/c.txt")
    assert both.fingerprint() != alone.fingerprint()
    assert both.most_rows is None  # the microworld alone tells how many rows it has
    assert find_source("microworld,microworld").most_rows == 2 * find_source("microworld").most_rows
    with pytest.raises(CorpusError, match="There is no file"):
        find_source(f"file:{tmp_path}/c.txt,file:{tmp_path}/d.txt")
