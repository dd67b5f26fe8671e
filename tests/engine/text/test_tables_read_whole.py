"""Tables as people bring them: read whole, or refused with file and line; characters that are none, too."""

import csv
import gzip
import io
import json

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from engine.text.sources import find_source
from engine.text.text_files import read_documents
from engine.text.token_store import CorpusError
from engine.text.uploads import save_upload


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Writes a file and gives its documents."""
    monkeypatch.setenv("HEIRLOOM_ROOTS", str(tmp_path))

    def written(name, content, column=""):
        content = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return list(find_source(f"file:{tmp_path / name}{column}").read())

    return written


@pytest.mark.parametrize(
    ("name", "content", "column"),
    [
        ("a.csv", "text;label\nGood, really;1\nBad;0\n", ""),
        ("a.csv", "text\tlabel\nGood, really\t1\nBad\t0\n", ""),
        ("a.csv", "label|text\r\n1|Good, really\r\n0|Bad\r\n", ""),
        ("a.csv", '\ufeff"label";"text"\n1;"Good, really"\n\n0;Bad\n', ""),
        ("a.csv", 'text,label\n"Good, really",1\nBad,0\n', ""),
        ("a.csv", "id, text\n1,\"Good, really\"\n2,Bad", ""),
        ("a.csv", "sep=;\nid;text\n1;Good, really\n2;Bad\n", ""),
        ("a.csv", "body;note\nGood, really;x\nBad;y\n", "#body"),
        ("a.csv", "text:label\nGood, really:1\nBad:0\n", "#text&delimiter=:"),
        ("a.csv", "text^label\nGood, really^1\nBad^0\n", "#&delimiter=^"),
        ("a.tsv", "text\tlabel\nGood, really\t1\nBad\t0\n", ""),
        ("a.tsv", "text\nGood, really\nBad\n", ""),
        ("a.TSV", 'id\ttext\n1\t"Good, really"\n2\tBad', "#text"),
        ("a.csv.gz", "text;label\nGood, really;1\nBad;0\n", ""),
        ("a.tsv.gz", "text\tlabel\nGood, really\t1\nBad\t0\n", "#text&delimiter=tab"),
        ("a.txt.gz", "Good, really\n\nBad\n", ""),
        ("a.jsonl.gz", '{"text": "Good, really"}\n{"text": "Bad"}\n', ""),
    ],
)  # fmt: skip
def test_what_parts_columns_is_found_or_named(read, name, content, column):
    """Harm: a model learns the labels with the text."""
    assert read(name, content, column) == [["Good, really"], ["Bad"]]


def test_tabs_without_quoting_keep_their_quotation_marks(read):
    """Harm: a mark at the start of a field swallows the rows behind it."""
    assert read("a.tsv", 'text\tlabel\n"Good\t1\nBad" film\t0\n') == [['"Good'], ['Bad" film']]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", "text,label\nfine,1\nHello, world,1\n", "a.csv, line 3: 3 columns instead of 2"),
        ("a.csv", "text\nHello, world\n", "a.csv, line 2: 2 columns instead of 1"),
        ("a.csv", "text;label\na;b;1\n", "a.csv, line 2: 3 columns instead of 2"),
        ("a.tsv", "text\tlabel\nx\n", "a.tsv, line 2: 1 columns instead of 2"),
        ("a.csv", 'id,text\n1,"two\nlines"\n2,x,y\n', "a.csv, line 4: 3 columns instead of 2"),
        ("a.csv", "text^label\nx^1\n", "&delimiter="),
        ("a.csv", '"text;label"\nx\n', "&delimiter="),
        ("a.csv", "text,text\nx,y\n", "2 columns are called 'text'"),
        ("a.csv", "text,label\n", "has one line"),
        ("a.csv", "text,label", "has one line"),
        ("a.csv", "text,label\rx,1\ry,2\r", "ends its lines with CR alone"),
        ("a.txt", "one\rtwo\r", "ends its lines with CR alone"),
        ("a.csv", "", "a.csv is empty"),
        ("a.tsv", "\n\n", "a.tsv is empty"),
        ("a.txt", " \n", "a.txt is empty"),
        ("a.jsonl", "", "a.jsonl is empty"),
        ("a.csv.gz", "", "a.csv.gz is empty"),
        ("a.jsonl", '{"text": "fine"}\n{"text": "a \\ud800 b"}\n', "a.jsonl, line 2: character 3 is '\\ud800'"),
        ("a.jsonl", '{"text": ["ok", "\\udc00"]}\n', "a.jsonl, line 1: character 1 is"),
        ("a.jsonl", '{"text": "a\\u0000b"}\n', "a.jsonl, line 1: character 2 is NUL"),
        ("a.txt", "fine\na\0b\n", "a.txt, line 2: character 2 is NUL"),
        ("a.csv", "text\nfine\na\0b\n", "a.csv, line 3: character 2 is NUL"),
        ("a.txt", "text".encode("utf-16-le"), "a.txt, line 1: character 2 is NUL"),
        ("a.csv", "text\nx\n".encode("utf-16"), "a.csv, line 1: byte 0xff"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_whole_says_where(read, name, content, says):
    """Harm: half a text is learned from, or an error that names neither file nor line."""
    with pytest.raises(CorpusError) as caught:
        read(name, content)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_gzip_and_delimiters_that_are_none_are_refused(read, tmp_path):
    """Harm: an EOFError on the page."""
    for content in (gzip.compress(b"text\n" * 1000)[:-20], b"no gzip"):
        (tmp_path / "b.csv.gz").write_bytes(content)
        with pytest.raises(CorpusError, match=r"b\.csv\.gz"):
            list(read_documents(tmp_path / "b.csv.gz", ""))
    for name, column in (("a.csv", "#text&delimiter=ab"), ("a.jsonl", "#text&delimiter=;"), ("a.parquet.gz", "")):
        with pytest.raises(CorpusError):
            read(name, "text\nx\n", column)


def test_parquet_that_is_not_utf8_says_in_which_row(tmp_path):
    """Harm: a codec error out of a file of a million rows."""
    bad = pyarrow.Array.from_buffers(pyarrow.string(), 2, pyarrow.array([b"fine", b"\xff"]).buffers())
    parquet.write_table(pyarrow.table({"text": bad}), tmp_path / "a.parquet")
    with pytest.raises(CorpusError, match=r"a\.parquet, row 2"):
        list(read_documents(tmp_path / "a.parquet", ""))
    parquet.write_table(pyarrow.table({"text": ["a\0b"]}), tmp_path / "b.parquet")
    with pytest.raises(CorpusError, match=r"b\.parquet, row 1: character 2 is NUL"):
        list(read_documents(tmp_path / "b.parquet", ""))


def test_a_compressed_upload_keeps_both_ends(tmp_path):
    """Harm: a file that was taken and cannot be read."""
    path = save_upload(tmp_path, "My Text.CSV.gz", gzip.compress(b"text\nfine\n"))
    assert path.name.startswith("My-Text-")
    assert list(read_documents(path, "")) == [["fine"]]


def test_a_million_letters_without_a_blank_are_a_text(read):
    """Harm: minutes, or a crash, for a line of base64."""
    assert read("a.jsonl", json.dumps({"text": "a" * 10**6})) == [["a" * 10**6]]


CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"]), min_size=1).map(lambda it: f"x{it}")


@settings(max_examples=40, deadline=None)
@given(st.lists(CELLS, min_size=1, max_size=8), st.sampled_from(",;\t|"))
def test_every_table_that_is_written_is_read_back(tmp_path_factory, cells, delimiter):
    """Harm: a text with the delimiter in it is cut there."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([("id", "text"), *enumerate(cells)])
    path = tmp_path_factory.getbasetemp() / "drawn.csv"
    path.write_bytes(out.getvalue().encode())
    found = ["".join("".join(document).split()) for document in read_documents(path, "")]
    assert found == ["".join(cell.split()) for cell in cells]
