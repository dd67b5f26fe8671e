"""Files that are no JSON of ours are refused at once, in words, before anything is waited for or filled."""

import ast
import json
import os
import time
from pathlib import Path

import pytest

from engine.storage.json_file import DEEPEST, JsonFileError, parse_json, read_json, read_json_object
from tests.test_architecture import within

READS_ANOTHER_WAY = {  # who parses JSON without this reader, and why
    "engine.storage.json_file": "is the reader",
    "engine.settings.torch_subprocess": "reads what its own process writes into a pipe",
    "app.examine.bertviz.parts": "takes apart what a package has just written",
    "engine.text.text_files": "reads lines of a corpus, with limits and words of its own",
}


def test_nobody_else_reads_json_from_files() -> None:
    """Harm: one more reader hangs on a pipe, or dies of a hundred thousand brackets, where all others are careful."""
    parsers = {
        name
        for name, tree in within("engine", "app")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("json.load", "json.loads", "json.JSONDecoder")
    }
    parsers |= {
        name
        for name, tree in within("engine", "app")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "json"
    }
    assert parsers == set(READS_ANOTHER_WAY)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"[" * 100_000, f"more than {DEEPEST} deep"),
        (b'{"a":' * 100_000, f"more than {DEEPEST} deep"),
        (b"1" + b"0" * 400, "401 digits"),
        (b"1" + b"0" * 9_999, "10,000 digits"),
        (b"1e999", "beyond all reason"),
        (b"", "no JSON"),
        (b"\xff\xff", "no JSON"),
        (b'{"a": 1', "no JSON"),
        (b"[" * DEEPEST + b"7" + b"]" * (DEEPEST - 1), "no JSON"),
    ],
)
def test_what_is_no_json_is_said(text: bytes, says: str) -> None:
    """Harm: a stranger's file ends a page in RecursionError, or a number in it a loop in OverflowError."""
    with pytest.raises(JsonFileError, match=says) as caught:
        parse_json(text)
    assert len(str(caught.value)) < 200
    with pytest.raises(JsonFileError):
        parse_json(text.decode("latin-1"))


def test_brackets_in_a_text_are_no_depth() -> None:
    """Harm: a corpus about Lisp cannot be learned from."""
    value = {"text": '"[{' * 500, "list": [["\\"]] * 100}
    assert parse_json(json.dumps(value)) == value


def test_what_no_page_can_be_sent_does_not_come_in() -> None:
    """Harm: half a surrogate pair, or a NaN, ends the page or the copy of the card that it stands on."""
    found = parse_json(b'{"\\ud800": ["\\udfff", "\\ud83d\\ude00", NaN, -Infinity]}')
    assert found == {"\ufffd": ["\ufffd", "\U0001f600", None, None]}
    json.dumps(found, allow_nan=False).encode()
    assert parse_json('"\ud800"') == "\ufffd"
    with pytest.raises(JsonFileError, match="NaN where a number"):
        parse_json("[NaN]", strict=True)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """Harm: a pipe called config.json holds the page, and everybody behind it, for ever."""
    begun = time.monotonic()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "large").write_text('"' + "x" * 1000 + '"')
    (tmp_path / "list").write_text("[]")
    cases = {"pipe": "pipe or a device", "folder": "is a folder", "list": "should be an object", "large": "should be"}
    for name, says in cases.items():
        with pytest.raises(JsonFileError, match=says):
            read_json_object(tmp_path / name)
    with pytest.raises(JsonFileError, match="larger than 100 bytes"):
        read_json(tmp_path / "large", most=100)
    with pytest.raises(JsonFileError, match="pipe or a device"):
        read_json(Path("/dev/zero"))
    assert read_json_object(tmp_path / "link") == {}
    with pytest.raises(JsonFileError, match="link"):
        read_json_object(tmp_path / "link", links=False)
    with pytest.raises(OSError, match="No such file"):
        read_json_object(tmp_path / "absent")
    assert time.monotonic() - begun < 2
