"""A cache that has changed is made anew, and nobody learns from words that nobody wrote."""

import json
import random

import numpy as np
import pytest

from engine.text import token_store
from engine.text.token_store import open_token_rows

LENGTH = 12


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache of this test's own."""
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


def rows(count=60):
    """Rows of a text."""
    chance = random.Random(0)
    return [[chance.randint(0, 300) for _ in range(chance.randint(1, LENGTH))] for _ in range(count)]


def opened(count=60, made=None):
    """The first rows; `made` is told when they are built."""

    def make():
        if made is not None:
            made.append(1)
        return rows()

    return open_token_rows("key", count, make, length=LENGTH, pad=7, largest=300)[:]


@pytest.mark.parametrize("name", ["tokens", "starts", "about.json"])
def test_every_flipped_bit_has_it_built_anew(folder, name):
    """Harm: an IndexError in the middle of a run; or a student that has learned other words, without a word."""
    right, chance = opened(), random.Random(1)
    for _ in range(25):
        (path,) = folder.glob(f"*/*/{name}")
        data, bit = bytearray(path.read_bytes()), chance.randrange(8 * path.stat().st_size)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(data))
        made: list[int] = []
        assert np.array_equal(opened(made=made), right)
        assert made or name == "about.json"  # a bit in the name of its own checksum is no matter
        assert np.array_equal(opened(), right)


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_torn_or_emptied_one_is_built_anew(folder, share):
    """Harm: a run that cannot start until somebody finds and deletes a folder."""
    right = opened()
    for name in ("tokens", "starts", "about.json"):
        (path,) = folder.glob(f"*/*/{name}")
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        assert np.array_equal(opened(), right)


def test_only_the_rows_that_are_asked_for_are_read(folder, monkeypatch):
    """Harm: a look at a text of many gigabytes waits for all of it."""
    opened()
    monkeypatch.setattr(token_store, "chunk_checksums", lambda path, limit: asked.append((path.name, limit)) or [])
    asked: list[tuple[str, int]] = []
    opened(3)
    assert asked == [("starts", 8 * 4), ("tokens", 2 * sum(map(len, rows()[:3])))]


def test_one_of_before_there_were_checksums_is_used(folder):
    """Harm: an update tokenises every corpus again."""
    right = opened()
    (path,) = folder.glob("*/*/about.json")
    told = json.loads(path.read_text())
    path.write_text(json.dumps({name: told[name] for name in ("rows", "tokens", "dtype", "complete")}))
    made: list[int] = []
    assert np.array_equal(opened(made=made), right)
    assert not made
