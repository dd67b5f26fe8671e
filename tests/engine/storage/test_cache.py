"""Where things are kept that can be made again, and by which name they are found there."""

import hashlib
import os
import sys
import time
from pathlib import Path

import pytest

from engine.storage import cache
from engine.storage.cache import cache_folder, digest, file_digest, writable_cache_folder


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache of this test's own."""
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("platform", "variables", "place"),
    [
        ("linux", {}, ".cache/heirloom"),
        ("linux", {"XDG_CACHE_HOME": "{home}/elsewhere"}, "elsewhere/heirloom"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, ".cache/heirloom"),
        ("linux", {"HEIRLOOM_CACHE": "{home}/mine", "XDG_CACHE_HOME": "{home}/elsewhere"}, "mine"),
        ("linux", {"HEIRLOOM_CACHE": "~/mine"}, "mine"),
        ("darwin", {}, "Library/Caches/heirloom"),
        ("win32", {}, "AppData/Local/heirloom/cache"),
        ("win32", {"LOCALAPPDATA": "{home}/local"}, "local/heirloom/cache"),
    ],
)
def test_the_cache_is_where_the_system_keeps_such_things(platform, variables, place, tmp_path, monkeypatch):
    """Harm: gigabytes in a folder that backups copy, or where nobody looks for them."""
    for name in ("HEIRLOOM_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(home=tmp_path))
    assert cache_folder() == tmp_path / place
    assert not cache_folder().exists()


def test_where_nothing_can_be_written_there_is_a_folder_all_the_same(tmp_path, monkeypatch, folder):
    """Harm: a run ends because a home folder is read-only."""
    assert writable_cache_folder("tokens") == folder / "tokens"
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / "file" / "cache"))
    other = writable_cache_folder("tokens")
    assert other.is_dir()
    assert other == writable_cache_folder("tokens")
    assert tmp_path not in other.parents
    assert (tmp_path / "file").read_text() == "in the way"


def test_the_digest_of_a_file_is_of_its_bytes(tmp_path):
    """Harm: tokens of another text, or a text tokenised again because it was touched."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"text")
    two.write_bytes(b"text")
    same = file_digest([one])
    assert same == file_digest([two]) == digest([hashlib.blake2b(b"text").hexdigest()])
    assert file_digest([one, two]) != same
    two.write_bytes(b"another text")
    assert file_digest([one, two]) != file_digest([two, one]) != same


def test_a_file_is_read_once_until_it_changes(tmp_path, monkeypatch):
    """Harm: a corpus of a hundred gigabytes is read at each start of a run, or a changed one never."""
    text, read = tmp_path / "text", []
    real = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *args: read.append(args) or real(*args))
    long_ago = time.time() - 1000
    text.write_bytes(b"text")
    os.utime(text, (long_ago, long_ago))
    first = file_digest([text])
    assert file_digest([text]) == first
    assert len(read) == 1
    for note in cache_folder().glob("digests/*"):
        note.write_text("{damaged")
    assert file_digest([text]) == first
    assert len(read) == 2
    text.write_bytes(b"next")  # of the same size
    os.utime(text, (long_ago + 1, long_ago + 1))
    assert file_digest([text]) != first


def test_a_file_that_has_just_changed_is_not_taken_for_known(tmp_path):
    """Harm: a file written twice within one tick of the clock is known by its first contents for ever."""
    text, now = tmp_path / "text", time.time()
    found = set()
    for contents in (b"text", b"next"):
        text.write_bytes(contents)
        os.utime(text, (now, now))
        found.add(file_digest([text]))
    assert len(found) == 2


def test_a_cache_that_cannot_be_written_does_not_stop_a_digest(tmp_path, monkeypatch):
    """Harm: a run ends because a home folder is read-only."""
    text = tmp_path / "text"
    text.write_bytes(b"text")
    os.utime(text, (0, 0))
    expected = file_digest([text])
    monkeypatch.setattr(cache, "write_json", lambda *_: (_ for _ in ()).throw(OSError("full")))
    monkeypatch.setenv("HEIRLOOM_CACHE", str(Path(tmp_path / "text") / "cache"))
    assert file_digest([text]) == expected
