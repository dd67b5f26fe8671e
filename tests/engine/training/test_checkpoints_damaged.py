"""A checkpoint that a disk, a kill or a stray bit has spoiled is never believed; the whole one before it is used."""

import json
import random
import shutil

import pytest
import torch

from engine.model.saved_models import CheckpointError
from engine.storage import disk_space
from engine.storage.checksums import NAME, sealed
from engine.storage.disk_space import DiskFullError
from engine.training.checkpoints import (
    NotFiniteError,
    NoWholeCheckpointError,
    load_checkpoint,
    newest_step,
    save_checkpoint,
)
from tests.fixtures.builders import teacher


def saved(folder, *steps):
    """A folder with checkpoints of a tiny student, each with other numbers; the newest one's place."""
    for step in steps:
        bert = teacher(layers=1, hidden=4, heads=1, ffn=4, positions=8)
        save_checkpoint(folder, step, bert, torch.optim.AdamW(bert.parameters()), {"number": step})
    return folder / f"step-{steps[-1]:09d}"


def flip(path, bit):
    """Changes one bit of a file."""
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def cut(share):
    """What keeps so much of a file."""
    return lambda place: (place / "state.pt").write_bytes(
        (place / "state.pt").read_bytes()[: int(share * (place / "state.pt").stat().st_size)]
    )


DAMAGES = {
    "empty": cut(0),
    "half": cut(0.5),
    "99.9%": cut(0.999),
    "one bit": lambda place: flip(place / "state.pt", 8 * 5_001 + 3),
    "removed file": lambda place: (place / "state.pt").unlink(),
    "empty folder": lambda place: [path.unlink() for path in place.iterdir()],
    "garbage checksums": lambda place: (place / NAME).write_bytes(b"\xff{"),
    "another list": lambda place: (place / NAME).write_text('{"files": {}}'),
    "grown": lambda place: (place / "state.pt").write_bytes((place / "state.pt").read_bytes() + b"\0"),
    "exchanged": lambda place: shutil.copytree(
        place.with_name("step-000000010"), place, dirs_exist_ok=True
    ),  # whole, of another step
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_newest_whole_one_is_used(tmp_path, damage):
    """Harm: a run that cannot go on although what it needs lies there; or that goes on from made-up numbers."""
    DAMAGES[damage](saved(tmp_path, 10, 20))
    state = load_checkpoint(tmp_path)
    assert (state["step"], state["extra"]) == (10, {"number": 10})
    (said,) = state["passed_over"]
    assert said.startswith("The checkpoint step-000000020 is damaged: ")
    assert "\n" not in said


def test_a_folder_that_is_gone_is_no_matter(tmp_path):
    """Harm: a person who deletes the newest checkpoint to save space loses the run."""
    shutil.rmtree(saved(tmp_path, 10, 20))
    assert load_checkpoint(tmp_path)["step"] == 10
    assert load_checkpoint(tmp_path)["passed_over"] == []


def test_no_single_bit_goes_unnoticed(tmp_path):
    """Harm: one bit on an old disk, and another student than the one that was trained, without a word."""
    place, chance = saved(tmp_path, 10, 20), random.Random(0)
    for name in ("state.pt", NAME):
        whole = (place / name).read_bytes()
        for _ in range(60):
            flip(place / name, chance.randrange(8 * len(whole)))
            state = load_checkpoint(tmp_path)
            # a bit of checksums.json may fall where nothing is said, in the name of its own checksum for one
            assert state["step"] == 10 or (name == NAME and state["extra"] == {"number": 20})
            (place / name).write_bytes(whole)
    assert load_checkpoint(tmp_path)["step"] == 20


def test_when_none_is_whole_each_is_named(tmp_path):
    """Harm: a run that begins again as if there had been nothing."""
    saved(tmp_path, 10, 20)
    for place in tmp_path.iterdir():
        cut(0.5)(place)
    with pytest.raises(NoWholeCheckpointError, match="step-000000020 is damaged.*step-000000010 is damaged"):
        load_checkpoint(tmp_path)


def test_one_of_a_later_version_is_refused_and_not_passed_over(tmp_path):
    """Harm: an older program goes back ten hours, or makes nonsense of what it cannot understand."""
    place = saved(tmp_path, 10, 20)
    told = json.loads((place / NAME).read_text())
    (place / NAME).write_text(json.dumps(sealed({**told, "format": 2})))
    with pytest.raises(CheckpointError, match="written by a newer version of Heirloom"):
        load_checkpoint(tmp_path)
    (place / NAME).unlink()
    state = torch.load(place / "state.pt", weights_only=True)
    torch.save({**state, "format": 7}, place / "state.pt")
    with pytest.raises(CheckpointError, match=r"step-000000020 was written by a newer version .*format 7"):
        load_checkpoint(tmp_path)


def test_one_of_before_there_were_checksums_is_read(tmp_path):
    """Harm: an update makes every run that was left overnight begin again."""
    place = saved(tmp_path, 10, 20)
    (place / NAME).unlink()
    state = torch.load(place / "state.pt", weights_only=True)
    for field in ("format", "config"):
        del state[field]
    torch.save(state, place / "state.pt")
    assert load_checkpoint(tmp_path)["step"] == 20


def test_the_next_save_clears_what_was_passed_over_and_keeps_the_whole_ones(tmp_path):
    """Harm: the damaged one counts as the newest for ever, and every good one is cleared before it."""
    cut(0.5)(saved(tmp_path, 10, 20))
    saved(tmp_path, 15)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000010", "step-000000015"]
    assert newest_step(tmp_path) == 15


def test_an_old_one_of_no_numbers_is_passed_over(tmp_path):
    """Harm: a run goes on from what an earlier version saved after its loss was lost, and can only fail again."""
    place = saved(tmp_path, 10, 20)
    (place / NAME).unlink()
    state = torch.load(place / "state.pt", weights_only=True)
    state["student"]["embeddings.word.weight"][0, 0] = float("nan")
    torch.save(state, place / "state.pt")
    found = load_checkpoint(tmp_path)
    assert found["step"] == 10
    assert "embeddings.word.weight has values that are no numbers" in found["passed_over"][0]


@pytest.mark.parametrize("where", ["weight", "moment"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_never_saved(tmp_path, where, value):
    """Harm: a checkpoint of numbers that are none takes the place of the last good one."""
    saved(tmp_path, 10)
    bert = teacher(layers=1, hidden=4, heads=1, ffn=4, positions=8)
    optimizer = torch.optim.AdamW(bert.parameters())
    bert.embeddings.word.weight.sum().backward()
    optimizer.step()
    with torch.no_grad():
        moment = optimizer.state[bert.embeddings.word.weight]["exp_avg"]
        (bert.embeddings.word.weight if where == "weight" else moment)[3, 1] = value
    with pytest.raises(NotFiniteError, match="no numbers after step 20"):
        save_checkpoint(tmp_path, 20, bert, optimizer, {})
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000010"]


def test_a_disk_without_room_is_told_in_bytes_before_anything_is_written(tmp_path, monkeypatch):
    """Harm: torch's own words about an inline container, and half a file in the place of the good one."""
    saved(tmp_path, 10)
    before = (tmp_path / "step-000000010" / "state.pt").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(disk_space, "free_bytes", lambda folder: 999)
        with pytest.raises(DiskFullError, match=r"step 20 needs [\d,]+ bytes on the disk and 999 are free"):
            saved(tmp_path, 20)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000010"]
    assert (tmp_path / "step-000000010" / "state.pt").read_bytes() == before
    assert load_checkpoint(tmp_path)["step"] == 10
