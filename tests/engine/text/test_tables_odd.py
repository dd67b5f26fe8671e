"""Tables that are odd but honest: columns without names, marks that come late, files whose name looks like a place."""

import csv
import io
import json

import pyarrow
import pytest
from pyarrow import parquet

from engine.text.text_files import read_documents
from engine.text.token_store import CorpusError

MANY = "hello\t1\n" * 300


@pytest.fixture
def read(tmp_path):
    """Writes a file and gives its documents."""

    def written(name, content, column=""):
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return list(read_documents(tmp_path / name, column))

    return written


@pytest.mark.parametrize(
    ("name", "content", "column"),
    [
        ("a.csv", ",text\n0,fine\n", ""),
        ("a.csv", "text,id,\nfine,1,\n", ""),
        ("a.csv", ",,text\n,,fine\n", ""),
        ("a.jsonl", '{"": "no", "text": "fine"}\n', ""),
        ("a.csv", '"sep=;"\ntext;id\nfine;1\n', ""),
        ("a.csv", "\n\ntext,id\nfine,1\n", ""),
        ("a.csv", "a&b,c\nfine,y\n", "a&b"),
        ("a.csv", "a#b,c\nfine,y\n", "a#b"),
        ("a.csv", " my text ,c\nfine,y\n", "my text"),
        ("a.csv", "text😀id\nfine😀1\n", "text&delimiter=😀"),
        ("line 5.csv", "text,id\nfine,1\n", ""),
        ("a.csv", b"text,id\r\r\nfine,1\r\r\n", ""),
        ("a.csv", "text," + ",".join(map(str, range(10**4))) + "\nfine" + ",x" * 10**4 + "\n", ""),
    ],
)
def test_odd_tables_are_read(read, name, content, column):
    """Harm: the numbers of rows are learned in place of the text, because their column has no name."""
    assert read(name, content, column) == [["fine"]]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("line 5.csv", "text,id\na\n", "line 5.csv, line 2: 1 columns instead of 2"),
        ("line 5.csv", "", "line 5.csv is empty"),
        ("line 5.csv", b"text,id\n\xe9,1\n", "line 5.csv, line 2: byte 0xe9"),
        ("line 5.csv", 'text,id\n"a"b,1\n', "line 5.csv, line 2: no CSV"),
        ("line 5.csv", "a,b\n1,2\n", "line 5.csv, line 1: no column 'text'"),
        ("a.csv", ",body,x\n0,hello,y\n", "there is '', 'body', 'x'"),
        ("a.csv", b"text,id\r\na,1\rb,2\r\n", "a.csv, line 2: it ends with CR alone"),
        ("a.csv", "text\n" + "hello\n" * 300 + "a, b\n", "a.csv, line 302: 2 columns instead of 1"),
        ("a.csv", "text;id\n" + "hello;1\n" * 300 + "a;b;1\n", "a.csv, line 302: 3 columns instead of 2"),
        ("a.jsonl", '{"text": "a"}\n{"label": "b"}\n', "a.jsonl, line 2: no 'text' in it"),
        ("a.jsonl", '{"text": "a",}\n', "a.jsonl, line 1: no JSON"),
        ("a.jsonl", '[{"text": "a"}]\n', "a.jsonl, line 1: expected an object"),
        ("a.jsonl", "[" * 10**5 + "\n", "a.jsonl, line 1: no JSON"),
        ("a.jsonl", '{"text": null}\n', "a.jsonl is empty"),
        ("a.jsonl", '{"text": ["a", null]}\n', "a.jsonl, line 1: expected a text"),
        ("a.json", '[{"text": "a"}]', "ends in .txt, .jsonl"),
    ],
)
def test_what_cannot_be_read_says_where_once(read, name, content, says):
    """Harm: 'line 5.csv, line 5.csv', or a label that is learned because it was the only thing in its row."""
    with pytest.raises(CorpusError) as caught:
        read(name, content)
    assert str(caught.value).startswith((says, "A corpus file")) or says in str(caught.value)
    assert str(caught.value).count("line 5.csv") <= 1
    assert "\n" not in str(caught.value)


def test_a_mark_that_comes_late_swallows_no_rows(read):
    """Harm: after 300 rows a quotation mark opens, and the next twelve rows are one text with their labels in it."""
    swallowing = f'text\tid\n{MANY}"Good\t2\n' + "x\t1\n" * 10 + 'Bad"\t3\n'
    assert read("a.tsv", swallowing)[300:] == [['"Good'], *[["x"]] * 10, ['Bad"']]
    assert read("a.tsv", f'text\tid\n{MANY}"Good\t2\nx\t1\n')[300:] == [['"Good'], ["x"]]
    assert read("a.tsv", f'text\tid\n{MANY}"Good.\nBad."\t2\n')[300:] == [["Good.", "Bad."]]


def test_a_field_of_a_million_letters_is_read(read):
    """Harm: csv's own limit of 131,072 letters."""
    out = io.StringIO()
    csv.writer(out).writerows([("id", "text"), (1, "word " * 200_000)])
    assert len(read("a.csv", out.getvalue())[0][0]) == 999_999


@pytest.mark.parametrize(
    ("column", "found"),
    [
        (pyarrow.array(["a b.", "c"], pyarrow.large_string()), [["a b."], ["c"]]),
        (pyarrow.array(["a", "c", "a"]).dictionary_encode(), [["a"], ["c"], ["a"]]),
        (pyarrow.array([["a", "b"], None, []], pyarrow.list_(pyarrow.string())), [["a", "b"]]),
        (pyarrow.nulls(2), "is empty"),
        (pyarrow.array([1, 2]), "row 1: expected a text"),
        (pyarrow.array([b"a"]), "row 1: expected a text"),
        (pyarrow.array([{"a": "b"}]), "row 1: expected a text"),
        (pyarrow.array([], pyarrow.string()), "is empty"),
    ],
)
def test_parquet_of_every_kind(tmp_path, column, found):
    """Harm: 'None' or b'...' is learned as a word."""
    parquet.write_table(pyarrow.table({"text": column}), tmp_path / "a.parquet")
    if isinstance(found, str):
        with pytest.raises(CorpusError, match=found):
            list(read_documents(tmp_path / "a.parquet", ""))
    else:
        assert list(read_documents(tmp_path / "a.parquet", "")) == found


@pytest.mark.parametrize("unit", ["a", ". ", ".)", '"', "字", "x.”", "a\u0301", "!", "\u200d", "། "])
def test_a_million_letters_take_seconds_and_none_is_lost(read, unit):
    """Harm: a pattern that tries every way through a line of marks."""
    text = unit * (10**6 // len(unit))
    found = read("a.jsonl", json.dumps({"text": text}))
    assert sum(len("".join(sentence.split())) for sentence in found[0]) == len("".join(text.split()))
