"""Rows of tokens on disk: what was put in comes out, whatever happens in between."""

import itertools
import json
import os
import random
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.text import token_store
from engine.text.token_store import CorpusError, TokenRows, open_token_rows

PROJECT = Path(__file__).resolve().parents[3]
LENGTH, PAD = 12, 7


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache of this test's own, and a buffer so small that every test fills it many times."""
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(token_store, "BUFFER_TOKENS", 100)
    return tmp_path / "cache" / "tokens"


def some_rows(count: int, largest: int = 300) -> list[list[int]]:
    """Random rows of 1 to LENGTH tokens; more of them begin with the same."""
    rng = random.Random(0)
    return [[rng.randint(0, largest) for _ in range(rng.randint(1, LENGTH))] for _ in range(count)]


def opened(count: int, there: int = 500, key: object = "key", largest: int = 300, **more: object) -> TokenRows:
    """The first `count` rows of a text that has `there`."""
    made: dict[str, object] = {"make": lambda: some_rows(there, largest), **more}
    return open_token_rows(key, count, length=LENGTH, pad=PAD, largest=largest, **made)


def never() -> Iterator[list[int]]:
    """For rows that have to be on disk already."""
    raise AssertionError("built again")


def padded(rows: list[list[int]]) -> np.ndarray:
    """What numpy would have been given without a store."""
    return np.array([row + [PAD] * (LENGTH - len(row)) for row in rows])


def entries(folder: Path) -> list[Path]:
    """Everything that lies in the store beside its locks."""
    return [path for path in folder.glob("*/*") if path.parent.is_dir()]


@pytest.mark.parametrize(("largest", "kind"), [(300, np.uint16), (65_535, np.uint16), (65_536, np.int32)])
def test_what_was_put_in_comes_out(largest, kind):
    """Harm: a model learns from words that nobody wrote."""
    rows, wanted = opened(500, largest=largest), some_rows(500, largest)
    assert rows.tokens.dtype == kind
    assert len(rows) == 500
    assert np.array_equal(rows[:], padded(wanted))
    assert rows[:].dtype == np.int32
    some = np.random.default_rng(0).integers(0, 500, 40)
    assert np.array_equal(rows[some], padded(wanted)[some])
    assert np.array_equal(rows[490:600], padded(wanted)[490:])
    assert rows.lengths(some).tolist() == [len(wanted[index]) for index in some]
    assert np.array_equal(rows.first(20)[:], padded(wanted)[:20])
    assert len(rows.first(10_000)) == 500


def test_rows_are_mapped_and_not_read():
    """Harm: a corpus larger than memory ends the run that opens it."""
    rows = opened(500)
    for part in (rows.tokens, rows.starts, rows.first(10).tokens):
        assert isinstance(part, np.memmap)
        assert part.mode == "r"


def test_building_takes_the_memory_of_its_buffer(monkeypatch):
    """Harm: tokenising a corpus larger than memory."""
    monkeypatch.setattr(token_store, "BUFFER_TOKENS", 10_000)
    count = 60_000
    opened(1)  # what is imported or cached on the first call is no part of it
    tracemalloc.start()
    rows = open_token_rows(
        "long", count, lambda: ([index % 300] * 12 for index in range(count)), length=12, pad=0, largest=9
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows.tokens.nbytes + rows.starts.nbytes > 1_900_000
    assert peak < 200_000
    assert (rows[count - 1 :] == (count - 1) % 300).all()


def test_rows_are_built_once():
    """Harm: each start of a run waits for the tokenizer."""
    first = opened(200)
    assert np.array_equal(opened(200, make=never)[:], first[:])
    assert np.array_equal(opened(7, make=never)[:], first[:7])


def test_building_stops_at_the_rows_that_are_wanted():
    """Harm: a run of twenty steps tokenises all of Wikipedia."""
    endless = ([1, 2] for _ in itertools.count())
    assert len(open_token_rows("endless", 300, lambda: endless, length=LENGTH, pad=PAD, largest=2)) == 300


def test_what_is_seen_does_not_depend_on_what_lies_in_the_cache(folder):
    """Harm: the same config trains on other rows after somebody has run a longer one."""
    alone = opened(50)[:]
    more = opened(400)
    assert len(entries(folder)) == 1  # the longer entry has replaced the shorter
    again = opened(50, make=never)
    assert len(again) == 50
    assert np.array_equal(again[:], alone)
    assert np.array_equal(more[:50], alone)
    assert np.array_equal(more[:], padded(some_rows(400)))


def test_an_entry_that_is_in_use_can_be_replaced():
    """Harm: a run dies, or reads other rows, because another one needed more."""
    shorter = opened(50)
    opened(400)
    assert np.array_equal(shorter[:], padded(some_rows(50)))


def test_a_text_read_to_its_end_serves_every_wish():
    """Harm: a short corpus is read again at each start because it never has the rows that are wished for."""
    assert len(opened(10_000, there=30)) == 30
    assert len(opened(20_000, make=never)) == 30
    assert len(opened(10_000, there=30, key="to the row")) == 30


def test_other_keys_have_other_rows():
    """Harm: a text tokenised for one teacher is fed to another."""
    keys = ["a", "b", ["a"], ["a", 1], ["a", 2], ["a", "1"]]
    for number, key in enumerate(keys):
        open_token_rows(key, 1, lambda number=number: [[number]], length=1, pad=PAD, largest=9)
    found = [open_token_rows(key, 1, never, length=1, pad=PAD, largest=9)[:].item() for key in keys]
    assert found == list(range(len(keys)))


def test_nothing_to_store_is_an_error_and_leaves_nothing(folder):
    """Harm: an empty file that cannot be mapped, found at each later start."""
    with pytest.raises(CorpusError, match="without a single row"):
        opened(10, there=0)
    assert entries(folder) == []
    assert len(opened(10)) == 10


@pytest.mark.parametrize("culprit", ["make", "progress"])
def test_a_building_that_fails_leaves_nothing(culprit, folder):
    """Harm: half a corpus is taken for a whole one, or the lock of a stopped run keeps the next one waiting."""

    def broken(*_: int) -> Iterator[list[int]]:
        yield from some_rows(100)
        raise KeyboardInterrupt

    def stop(rows: int) -> None:
        if rows > 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened(400, **({"make": broken} if culprit == "make" else {"progress": stop}))
    assert entries(folder) == []
    assert np.array_equal(opened(400)[:], padded(some_rows(400)))


def test_progress_counts_rows():
    """Harm: an hour of silence, after which somebody ends the run."""
    told: list[int] = []
    opened(400, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 400
    assert len(told) > 5


def shorten(path: Path) -> None:
    """As after a crash of a machine."""
    os.truncate(path, path.stat().st_size - 8)


def lengthen(path: Path) -> None:
    """As after two writers."""
    path.write_bytes(path.read_bytes() + bytes(8))


def empty(path: Path) -> None:
    """As on a disk that was full."""
    path.write_bytes(b"")


DAMAGE = {
    "tokens cut": ("tokens", shorten),
    "tokens too long": ("tokens", lengthen),
    "tokens empty": ("tokens", empty),
    "no tokens": ("tokens", Path.unlink),
    "starts cut": ("starts", shorten),
    "starts too long": ("starts", lengthen),
    "starts of something else": ("starts", lambda path: path.write_bytes(bytes(path.stat().st_size))),
    "no starts": ("starts", Path.unlink),
    "no about": ("about.json", Path.unlink),
    "about cut": ("about.json", shorten),
    "about empty": ("about.json", empty),
    "about of another kind": ("about.json", lambda path: path.write_text("[1, 2]")),
    "about of less": ("about.json", lambda path: path.write_text(json.dumps({"dtype": "<u2", "complete": True}))),
    "about of no type": ("about.json", lambda path: path.write_text(path.read_text().replace("<u2", "words"))),
}


@pytest.mark.parametrize(("name", "damage"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_entry_is_built_anew(name, damage, folder):
    """Harm: after a power cut, a run that learns from noise, or that can never start again."""
    opened(200)
    (entry,) = entries(folder)
    damage(entry / name)
    assert np.array_equal(opened(200)[:], padded(some_rows(200)))
    assert entry not in entries(folder)
    assert len(entries(folder)) == 1
    assert np.array_equal(opened(200, make=never)[:], padded(some_rows(200)))


def test_a_full_disk_is_one_sentence(folder):
    """Harm: a traceback that names neither the disk nor what to do; half an entry that keeps the disk full."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # as if the disk had room for no more
    try:
        with pytest.raises(CorpusError, match="cannot be stored in .*; free some space .* HEIRLOOM_CACHE") as caught:
            opened(500)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert entries(folder) == []


def test_without_a_writable_cache_the_run_goes_on(tmp_path, monkeypatch):
    """Harm: no training for whoever's home folder is read-only."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / "file" / "cache"))
    key = f"elsewhere {tmp_path}"
    assert np.array_equal(opened(200, key=key)[:], padded(some_rows(200)))
    assert len(opened(200, key=key, make=never)) == 200


def test_a_cache_of_others_is_read_without_writing(monkeypatch):
    """Harm: a corpus that was tokenised for a whole class is tokenised again by everyone in it."""
    opened(200)
    monkeypatch.setattr(token_store, "writable_cache_folder", lambda _: pytest.fail("wrote"))
    assert len(opened(200, make=never)) == 200


def test_threads_that_open_at_once_build_once(folder):
    """Harm: two runs write over one another."""
    built, found, start = [], [], threading.Barrier(4)

    def make() -> list[list[int]]:
        built.append(1)
        return some_rows(500)

    def work() -> None:
        start.wait()
        found.append(opened(500, make=make)[:])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert len(entries(folder)) == 1
    assert all(np.array_equal(rows, padded(some_rows(500))) for rows in found)
    assert len(found) == 4


# Builds half, says so, and goes on when told to.
BUILDER = """
import itertools, sys
from engine.text import token_store
from tests.engine.text.test_token_store import opened, some_rows

def say(word):
    print(word, flush=True)

def make():
    rows = some_rows(500)
    yield from rows[:250]
    say("building")
    sys.stdin.readline()
    yield from rows[250:]

token_store.WAIT_S, token_store.BUFFER_TOKENS = 0.02, 100
once = itertools.count()
rows = opened(500, make=make, progress=lambda built: built or next(once) or say("waiting"))
say(f"{len(rows)} {int(rows[:].sum())}")
"""


class Builder:
    """A process that opens the 500 rows."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, "-c", BUILDER], cwd=PROJECT, stdin=pipe, stdout=pipe, text=True, bufsize=1
        )

    def says(self) -> str:
        """Its next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        """Lets it build the second half."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")

    def close(self) -> None:
        """Waits for its end, after which nothing of it is left."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def builders():
    """Starts processes; afterwards all are gone."""
    started: list[Builder] = []

    def start() -> Builder:
        started.append(Builder())
        return started[-1]

    yield start
    for builder in started:
        builder.close()


WHOLE = f"500 {padded(some_rows(500)).sum()}"


def test_a_second_process_waits_and_takes_what_the_first_has_built(builders, folder):
    """Harm: two runs started together write one file, and both learn from the mixture."""
    first = builders()
    assert first.says() == "building"
    second = builders()
    assert second.says() == "waiting"
    first.go_on()
    assert first.says() == WHOLE
    assert second.says() == WHOLE  # never "building"
    assert len(entries(folder)) == 1


def test_nothing_of_a_killed_builder_is_used(builders, folder):
    """Harm: after kill -9 or a power cut, half a corpus is taken for a whole one, or its lock lasts for ever."""
    first = builders()
    assert first.says() == "building"
    (draft,) = entries(folder)
    assert any(path.stat().st_size for path in draft.iterdir())
    second = builders()
    assert second.says() == "waiting"
    first.close()
    assert second.says() == "building"
    second.go_on()
    assert second.says() == WHOLE
    assert draft not in entries(folder)
    assert len(entries(folder)) == 1
    assert np.array_equal(opened(500, make=never)[:], padded(some_rows(500)))
