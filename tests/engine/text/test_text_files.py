"""Documents out of files: every kind, and what a damaged or hostile one is answered with."""

import json

import pytest

from engine.text.corpora import open_corpus
from engine.text.sources import find_source
from engine.text.text_files import read_documents
from engine.text.token_store import CorpusError
from tests.fixtures.builders import tokenizer
from tests.fixtures.text_files import written

pytestmark = pytest.mark.usefixtures("here")

WANTED = [["The girl sleeps.", "She is happy!"], ["A fox, it runs."]]


def test_every_kind_of_file_holds_the_same_documents(here):
    """Harm: the same text trains another student because it came in another file."""
    texts = ["The girl sleeps.\n She is happy!", "A fox, it runs."]
    written(here / "a.txt", "\n\nThe girl sleeps. She\nis happy!\n\n \nA fox, it runs.")
    written(here / "lines.txt", "\ufeffThe girl sleeps. She is happy!\nA fox, it runs.\n\n")
    written(here / "a.jsonl", "\n".join(json.dumps({"id": 1, "text": text}) for text in texts) + "\n\n")
    written(here / "told.jsonl", "\n".join(json.dumps({"body": text}) for text in WANTED))
    written(here / "a.csv", 'id,text\n1,"The girl sleeps.\n She is happy!"\n\n2,"A fox, it runs."\n')
    names = ("a.txt", "lines.txt", "a.jsonl", "told.jsonl#body", "told.jsonl", "a.csv", "a.csv#text")
    for name in names:
        assert list(find_source(f"file:{here / name}").read()) == WANTED, name


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"fine\n\nnot \xff fine\n", "line 3: byte 0xff at column 5"),
        ("a.csv", b"text\nfine\n\xe9t\xe9\n", "line 3: byte 0xe9 at column 1"),
        ("a.jsonl", '{"text": "fine"}\n{"text": ', "line 2: no JSON"),
        ("a.jsonl", "[" * 100_000, "line 1: no JSON"),
        ("a.jsonl", "[1]", "line 1: expected an object with a text in it, got list"),
        ("a.jsonl", '{"text": "a"}\n{"text": 7}', "line 2: expected a text, got int"),
        ("a.jsonl", '{"a": "x", "b": "y"}', "no column 'text', there is 'a', 'b'; name one as file:PATH#COLUMN"),
        ("a.csv", "", "is empty"),
        ("a.csv", "a,text\n1,x\n2\n", "line 3: 1 columns instead of 2"),
        ("a.csv", 'text\n"x', "line 2: no CSV"),
    ],
)
def test_a_damaged_file_says_where(here, name, content, says):
    """Harm: 'codec can't decode byte' for a file of a million lines, or a traceback on the page."""
    path = written(here / name, content)
    with pytest.raises(CorpusError) as caught:
        list(read_documents(path, ""))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parquet_holds_the_same_documents(here):
    """Harm: the usual file of a data set, read another way than all others."""
    pyarrow = pytest.importorskip("pyarrow", reason="comes with Streamlit; the engine alone does without")
    from pyarrow import parquet

    columns = {"id": [1, 2, 3], "text": ["The girl sleeps.\n She is happy!", None, "A fox, it runs."]}
    parquet.write_table(pyarrow.table(columns), here / "a.parquet")
    assert list(find_source(f"file:{here / 'a.parquet'}").read()) == WANTED
    with pytest.raises(CorpusError, match="expected a text, got int"):
        list(find_source(f"file:{here / 'a.parquet'}#id").read())
    written(here / "b.parquet", b"PAR1 not really")
    with pytest.raises(CorpusError, match="no Parquet file"):
        list(find_source(f"file:{here / 'b.parquet'}").read())


def test_a_column_is_taken_by_its_name(here):
    """Harm: the model learns from the column of ids."""
    written(here / "a.csv", "title,body\nOne,The girl sleeps.\n")
    assert list(find_source(f"file:{here / 'a.csv'}#body").read()) == [["The girl sleeps."]]
    with pytest.raises(CorpusError, match="no column 'nothing'"):
        list(find_source(f"file:{here / 'a.csv'}#nothing").read())
    written(here / "a.txt", "x")
    with pytest.raises(CorpusError, match="has no columns"):
        list(find_source(f"file:{here / 'a.txt'}#body").read())


def test_a_changed_file_is_another_corpus(here):
    """Harm: a corrected text, and the run still learns the old one out of the cache."""
    path = here / "a.csv"
    seen = set()
    for content, column in (("text,b\nx,y\n", ""), ("text,b\nx,z\n", ""), ("text,b\nx,z\n", "b")):
        written(path, content)
        seen.add(find_source(f"file:{path}#{column}").fingerprint())
    assert len(seen) == 3


def test_a_file_becomes_rows(here, monkeypatch):
    """Harm: a corpus that is read but cannot be trained on."""
    lines = [f"the {noun} sleeps at the barn ." for noun in list(tokenizer().get_vocab())[10:200]]
    path = written(here / "a.txt", "\n".join(lines))
    corpus = open_corpus(f"file:{path}", tokenizer(), 16, 1000)
    assert len(corpus.rows) + len(corpus.held_out) == len(lines)


@pytest.mark.parametrize(
    "name", ["/etc/passwd.txt", "../x.txt", "link.txt", "loop.txt", "a\0.txt", "", "no.txt", "a.exe", "."]
)
def test_nothing_outside_of_the_roots_is_read(here, name, tmp_path_factory, monkeypatch):
    """Harm: a link to the app shows whoever opens it any file of the machine."""
    outside = written(tmp_path_factory.mktemp("outside") / "secret.txt", "secret")
    (here / "link.txt").symlink_to(outside)
    (here / "loop.txt").symlink_to(here / "loop.txt")
    monkeypatch.chdir(here)
    with pytest.raises(CorpusError) as caught:
        find_source(f"file:{name}")
    assert "\n" not in str(caught.value)
