"""Compressed corpus files: read as the files in them; what is no text, or would fill a memory, says so in seconds."""

import functools
import gzip

import pytest

from engine.text import text_files
from engine.text.text_files import read_documents
from engine.text.token_store import CorpusError

packed = functools.partial(gzip.compress, mtime=0)  # the same bytes, and so the same names of tests, at any time
TEXT = b"hello there.\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt.gz", packed(TEXT)),
        ("a.TXT.GZ", packed(TEXT)),
        ("a.txt.gz", packed(TEXT[:5]) + packed(TEXT[5:])),
        ("a.txt.gz", packed(TEXT) + b"\0" * 100),
        ("a.csv.gz", packed(b"text;id\nhello there.;1\n")),
        ("a.tsv.gz", packed(b"id\ttext\n1\thello there.\n")),
        ("a.jsonl.gz", packed(b'\n{"text": "hello there."}\n')),
    ],
)
def test_what_is_in_it_is_read(tmp_path, name, content):
    """Harm: half of a file of several parts, or a table that is read only when somebody unpacks it."""
    (tmp_path / name).write_bytes(content)
    assert list(read_documents(tmp_path / name, "")) == [["hello there."]]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt.gz", b"", "a.txt.gz is empty"),
        ("a.csv.gz", packed(b""), "a.csv.gz is empty"),
        ("a.txt.gz", packed(TEXT * 10_000)[:-9], "damaged"),
        ("a.txt.gz", packed(TEXT)[:5], "damaged"),
        ("a.txt.gz", packed(TEXT) + b"more", "damaged"),
        ("a.txt.gz", TEXT, "no gzip file"),
        ("a.csv.gz", packed(packed(TEXT)), "compressed twice"),
        ("a.txt", packed(TEXT), "name it .gz"),
        *((f"a.{kind}.gz", unit, "200 times its size") for kind, unit in (
            ("txt", b"\0"), ("txt", b"a\n"), ("txt", b"\n"), ("csv", b"text,b\n"), ("jsonl", b'{"text":"a"}\n'))),
    ],
)  # fmt: skip
def test_what_is_no_text_says_so(tmp_path, name, content, says):
    """Harm: a megabyte that unpacks to a gigabyte and takes the machine with it."""
    if "200 times" in says:
        content = packed(content * (21_000_000 // len(content)))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError) as caught:
        list(read_documents(tmp_path / name, ""))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bomb_behind_a_text_is_stopped(tmp_path, monkeypatch):
    """Harm: a look at the beginning alone."""
    monkeypatch.setattr(text_files, "ALWAYS_UNPACKED", 1_000_000)
    words = "".join(f"{number} is not {number * 7919}.\n" for number in range(50_000)).encode()
    (tmp_path / "a.txt.gz").write_bytes(packed(words) + packed(b"hello there.\n" * 10**6))
    with pytest.raises(CorpusError, match=r"200 times its size"):
        list(read_documents(tmp_path / "a.txt.gz", ""))


def test_a_line_without_an_end_is_refused(tmp_path, monkeypatch):
    """Harm: a file of gigabytes without line ends in memory, several times."""
    monkeypatch.setattr(text_files, "LONGEST_LINE", 100_000)
    (tmp_path / "a.txt").write_bytes(TEXT + b"a" * 100_001)
    with pytest.raises(CorpusError, match=r"a\.txt, line 2: more than 0 MB without a line end"):
        list(read_documents(tmp_path / "a.txt", ""))
