"""Uploads: harmless names, and nothing half-written."""

import pytest

from engine.text.token_store import CorpusError
from engine.text.uploads import MAX_UPLOAD_MB, save_upload
from tests.fixtures.text_files import written

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize(
    ("given", "starts"),
    [
        ("my text.txt", "my-text-"),
        ("../../etc/cron.d/x.txt", "x-"),
        ("..\\..\\x.CSV", "x-"),
        ("<script>alert(1)</script>.jsonl", "script-"),
        ("\u202egnp.txt", "gnp-"),
        (".txt.txt", "txt-"),
        ("a" * 300 + ".txt", "a" * 60 + "-"),
        ("\u6587.txt", "text-"),
    ],
)
def test_an_upload_gets_a_harmless_name(here, given, starts):
    """Harm: a file's name climbs out of its folder, runs on a page or cannot be typed again."""
    path = save_upload(here / "uploads", given, b"text")
    assert path.parent == here / "uploads"
    assert path.name.startswith(starts)
    assert path.read_bytes() == b"text"
    assert path.name.isascii()
    assert save_upload(here / "uploads", given, b"text") == path
    assert save_upload(here / "uploads", given, b"other") != path
    assert len(list((here / "uploads").iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.exe", b"x", "ends in .txt"),
        ("noend", b"x", "ends in .txt"),
        ("a.txt", b"", "is empty"),
        ("a.txt", b"x" * (MAX_UPLOAD_MB * 1_000_000 + 1), "is the most"),
    ],
)
def test_an_upload_that_cannot_be_a_corpus_is_refused(here, name, content, says):
    """Harm: a disk full of what nobody can read."""
    with pytest.raises(CorpusError, match=says):
        save_upload(here / "uploads", name, content)
    assert not (here / "uploads").exists()


def test_an_upload_that_the_disk_does_not_take_leaves_nothing(here):
    """Harm: a half-written text that is trained on."""
    written(here / "uploads", "a file where the folder should be")
    with pytest.raises(CorpusError, match="does not take the file"):
        save_upload(here / "uploads", "a.txt", b"x")
