"""Paths: where they may lead, and how they are kept."""

import pytest

from engine.storage.allowed_folders import PathError, absolute_name, allowed_path
from tests.fixtures.text_files import written

pytestmark = pytest.mark.usefixtures("here")


def test_a_path_is_confined_to_what_it_really_is(here):
    """Harm: a folder that is allowed only when nobody looks through its links."""
    (here / "in").mkdir()
    written(here / "in" / "a.txt", "x")
    (here / "alias").symlink_to(here / "in")
    assert allowed_path(str(here / "alias" / ".." / "in" / "a.txt")) == (here / "in" / "a.txt").resolve()
    with pytest.raises(PathError, match="outside of the folders"):
        allowed_path(str(here / ".." / "other"))


def test_a_relative_path_means_the_same_from_everywhere(here, monkeypatch):
    """Harm: a run that goes on in the background, in another folder, no longer finds its text."""
    written(here / "a.txt", "The girl sleeps.")
    monkeypatch.chdir(here)
    assert absolute_name("file:a.txt#") == f"file:{here / 'a.txt'}#"
    assert absolute_name("local:model") == f"local:{here / 'model'}"
    for name in ("microworld", "nltk:brown", "hub:a/b", "file:", "file:~/a.txt", f"file:{here / 'a.txt'}"):
        assert absolute_name(name) == name
