"""NLTK's collections: fetched once and whole, from a server of this machine."""

import os
import signal
import subprocess
import sys
import time

import nltk
import pytest

from engine.settings.project import PROJECT
from engine.text import nltk_data
from engine.text.nltk_data import Fetching, fetch, missing_collections, on_this_machine
from engine.text.sources import find_source
from engine.text.token_store import CorpusError
from tests.fixtures.nltk_server import NltkServer, use

BEHIND = """
import sys, urllib.request, nltk.downloader
from engine.text import nltk_data
nltk.data.path[:] = [sys.argv[2]]
nltk.downloader.urlopen = urllib.request.urlopen
nltk_data.INDEX, nltk_data.reachable = sys.argv[1] + "/index.xml", lambda url: True
nltk_data.fetch(["brown"], lambda share: print(share, flush=True))
"""


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Two collections to be fetched into a folder of the test's own."""
    made = NltkServer("brown", "abc")
    use(made, monkeypatch, tmp_path / "nltk")
    yield made
    made.shutdown()
    made.server_close()


def lying(tmp_path) -> list[str]:
    """Whatever lies where NLTK looks."""
    return sorted(str(path.relative_to(tmp_path / "nltk")) for path in (tmp_path / "nltk").rglob("*.*"))


def test_a_collection_is_fetched_and_read(server, tmp_path):
    """Harm: a button that says done, and a text that cannot be read."""
    assert missing_collections("nltk:brown+abc, microworld") == ("brown", "abc")
    shares = []
    fetch(["brown", "abc"], shares.append)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert len(shares) > 20
    assert lying(tmp_path) == ["corpora/abc.zip", "corpora/brown.zip"]
    assert not missing_collections("nltk:brown+abc")
    assert len(list(find_source("nltk:brown").read())) == 30
    fetch(["brown", "abc"])
    assert server.fetches() == ["brown", "abc"]


def test_a_run_fetches_what_it_reads(server, tmp_path, monkeypatch):
    """Harm: the text that a run fetches for itself is half there when it is stopped meanwhile."""
    monkeypatch.setattr("engine.text.sources.reachable", lambda url: True)
    source = find_source("nltk:brown")
    assert not server.asked
    assert len(list(source.read())) == 30
    source.fingerprint()
    assert (server.fetches(), lying(tmp_path)) == (["brown"], ["corpora/brown.zip"])


def test_two_sessions_fetch_once(server):
    """Harm: two people press the button, and one reads what the other one is writing."""
    server.pause_s = 0.01
    both = [Fetching(["brown"]), Fetching(["brown"]), Fetching(["brown", "abc"])]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [one.error for one in both] == ["", "", ""]
    assert sorted(server.fetches()) == ["abc", "brown"]


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("cut", "could not be fetched"),
        ("other bytes", "Integrity check failed"),
        ("gone", "404"),
        ("no index", "404"),
        ("no xml", "could not be fetched"),
        ("not listed", "not found in index"),
        ("no room", "No space left"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_leaves_nothing(what, says, server, tmp_path, monkeypatch):
    """Harm: a traceback, or half a corpus that every later run takes for the whole one."""
    if what == "cut":
        server.cut = 0.5
    elif what == "other bytes":
        server.bodies["brown"] = server.bodies["brown"][:-1] + b"x"
    elif what == "gone":
        index = server.index
        monkeypatch.setattr(NltkServer, "index", index)
        del server.bodies["brown"]
    elif what == "no index":
        monkeypatch.setattr(nltk_data, "INDEX", f"{server.url}/nothing")
    elif what == "no xml":
        server.index_body = b"<html>Sign in to the hotel's network"
    elif what == "not listed":
        del server.bodies["brown"]
    else:
        full = OSError(28, "No space left on device")
        monkeypatch.setattr("shutil.copyfile", lambda *paths: (_ for _ in ()).throw(full))
    with pytest.raises(CorpusError, match=says) as caught:
        fetch(["brown"])
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)
    assert not lying(tmp_path)
    assert not on_this_machine("brown")
    background = Fetching(["brown"])
    background.run()
    assert background.error == str(caught.value)


def test_an_interrupted_download_leaves_nothing(server, tmp_path):
    """Harm: Ctrl-C in the middle, and from then on a corpus of a third of its documents."""

    def press(share: float) -> None:
        if share > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(["brown"], press)
    assert not lying(tmp_path)
    fetch(["brown"])
    assert on_this_machine("brown")


def test_a_killed_download_leaves_nothing_and_blocks_nobody(server, tmp_path):
    """Harm: the machine goes off in the middle, and the next download waits for a lock that nobody holds."""
    server.pause_s = 0.05
    command = [sys.executable, "-c", BEHIND, server.url, str(tmp_path / "nltk")]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as child:
        while float(child.stdout.readline()) < 0.3:
            pass
        os.kill(child.pid, signal.SIGKILL)
    assert not lying(tmp_path)
    server.pause_s = 0.0
    began = time.monotonic()
    fetch(["brown"])
    assert time.monotonic() - began < 5
    assert lying(tmp_path) == ["corpora/brown.zip"]


def test_the_time_left_is_told(server):
    """Harm: a bar without an end in sight."""
    server.pause_s = 0.02
    fetching = Fetching(["brown"])
    assert fetching.seconds_left is None
    fetching.start()
    while fetching.share < 0.5:
        time.sleep(0.005)
    left, began = fetching.seconds_left, time.monotonic()
    fetching.join()
    took = time.monotonic() - began
    assert left is not None
    assert took / 3 < left < 3 * took + 0.1
    assert fetching.seconds_left is None


def test_without_a_network_it_is_said_at_once(monkeypatch, tmp_path):
    """Harm: minutes of waiting, or a message that names no way on."""
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    began = time.monotonic()
    with pytest.raises(CorpusError, match="there is no network"):
        fetch(["brown"])
    names = ["brown", "movie_reviews", "abc", "webtext", "state_union", "inaugural"]
    for name in (["brown"], ["brown", "abc"], names):
        with pytest.raises(CorpusError, match="choose the corpus microworld, or get") as caught:
            find_source(f"nltk:{'+'.join(name)}")
        assert f"`python -m nltk.downloader {' '.join(name)}`" in str(caught.value)
        assert len(str(caught.value)) < 240
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "name", ["microworld", "", "file:brown", "nltk:", "nltk:../brown", "nltk:re", "nltk:nosuchcorpus", "nltk:__init__"]
)
def test_only_what_nltk_has_is_offered(name, monkeypatch, tmp_path):
    """Harm: a button that fetches what there is not, or a path of somebody's as a name."""
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    assert missing_collections(name) == ()
