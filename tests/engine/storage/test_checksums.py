"""What was written is what is read, to the last bit, or it is told which file is another."""

import json
import random

import numpy as np
import pytest

from engine.storage.attention_frames import (
    AttentionFramesError,
    read_frames,
    write_frame_sentences,
    write_student_frame,
)
from engine.storage.checksums import (
    CHUNK,
    NAME,
    ChecksumError,
    DigestedFile,
    NewerFormatError,
    check_files,
    check_seal,
    chunk_checksums,
    file_checksum,
    refuse_newer,
    sealed,
    sizes_fit,
    write_checksums,
)
from engine.storage.runs import RunError, create_run


def flipped(data, bit):
    """`data` with one bit changed."""
    out = bytearray(data)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


def outcome(call):
    """(what `call` gives, None), or (None, what it raises)."""
    try:
        return call(), None
    except Exception as error:
        return None, error


@pytest.fixture
def folder(tmp_path):
    """Files, one of them below, with their checksums."""
    (tmp_path / "below").mkdir()
    (tmp_path / "one").write_bytes(b"first")
    (tmp_path / "below" / "two").write_bytes(bytes(range(256)) * 40)
    write_checksums(tmp_path)
    check_files(tmp_path)
    return tmp_path


def test_every_flipped_bit_of_a_file_is_told_by_its_name(folder):
    """Harm: one bit on an old disk, and nobody knows."""
    for name in ("one", "below/two"):
        whole = (folder / name).read_bytes()
        for bit in range(0, 8 * len(whole), 1 if name == "one" else 997):
            (folder / name).write_bytes(flipped(whole, bit))
            with pytest.raises(ChecksumError, match=f"{name} has changed since it was written"):
                check_files(folder)
            assert sizes_fit(folder)
        (folder / name).write_bytes(whole)
    check_files(folder)


def test_every_flipped_bit_of_the_list_is_told_or_harmless(folder):
    """Harm: the list of checksums is the one file that nobody checks."""
    whole = (folder / NAME).read_bytes()
    for bit in range(0, 8 * len(whole), 3):
        (folder / NAME).write_bytes(flipped(whole, bit))
        with pytest.raises(ChecksumError):
            check_files(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "one").unlink(), "one is missing"),
        (lambda folder: (folder / "one").write_bytes(b"fir"), "one has 3 bytes, and 5 were written"),
        (lambda folder: (folder / NAME).write_text('{"files": {}}'), "damaged"),
        (lambda folder: (folder / NAME).write_text("[]"), "damaged"),
        (lambda folder: (folder / NAME).write_text(json.dumps(sealed({"format": 1, "files": {"one": 3}}))), "damaged"),
    ],
)
def test_what_is_missing_or_cut_is_told(folder, change, said):
    """Harm: a file that is not there counts as unchanged."""
    change(folder)
    with pytest.raises(ChecksumError, match=said):
        check_files(folder)
    assert not sizes_fit(folder)


def test_a_folder_of_before_there_were_checksums_is_taken_as_it_is(tmp_path):
    """Harm: an update makes every old student unreadable."""
    (tmp_path / "one").write_bytes(b"first")
    check_files(tmp_path)
    assert sizes_fit(tmp_path)


@pytest.mark.parametrize("found", [2, "2", True, 1.0, []])
def test_a_later_format_is_refused_in_words(folder, found):
    """Harm: an older program makes nonsense of what a later one wrote."""
    with pytest.raises(NewerFormatError, match="The thing was written by a newer version of Heirloom"):
        refuse_newer(found, 1, "The thing")
    told = json.loads((folder / NAME).read_text())
    (folder / NAME).write_text(json.dumps(sealed({**told, "format": found})))
    with pytest.raises(NewerFormatError, match="update Heirloom to open it"):
        check_files(folder)
    refuse_newer(None, 1, "The thing")
    refuse_newer(1, 1, "The thing")


def test_what_is_written_through_a_digest_is_what_lies_there(tmp_path):
    """Harm: a checksum of something else than the file's bytes, so that every good checkpoint counts as damaged."""
    with (tmp_path / "file").open("xb") as file:
        digested = DigestedFile(file)
        for part in (b"abc", bytearray(70_000), memoryview(np.arange(9.0)).cast("B"), b""):
            assert digested.write(part) == len(part)
    assert digested.record() == {"bytes": 70_075, "blake2b": file_checksum(tmp_path / "file")}


def test_a_seal_holds_whatever_json_holds():
    """Harm: a card that is written and read counts as changed, for a number or a name is written otherwise."""
    card = {"b": [1, 2.5, 1e-300, None, True], "a": {"2": "é", "10": {"x": []}}, "shape": (1, 2), "nan": float("nan")}
    again = json.loads(json.dumps(sealed(card), indent=1))
    check_seal(again)
    check_seal({"a": 1})  # of before
    with pytest.raises(ChecksumError):
        check_seal({**again, "b": [1, 2.5, 1e-300, None, False]})


def test_chunks_are_told_apart(tmp_path):
    """Harm: a corpus of gigabytes is read to its end for twenty rows; or the last chunk is never looked at."""
    data = random.Random(0).randbytes(2 * CHUNK + 5)
    (tmp_path / "file").write_bytes(data)
    whole = chunk_checksums(tmp_path / "file")
    assert len(whole) == 3
    assert chunk_checksums(tmp_path / "file", CHUNK) == whole[:1]
    assert chunk_checksums(tmp_path / "file", CHUNK + 1) == whole[:2]
    (tmp_path / "file").write_bytes(flipped(data, 8 * len(data) - 1))
    assert [a == b for a, b in zip(chunk_checksums(tmp_path / "file"), whole, strict=True)] == [True, True, False]


def small_card() -> dict:
    """A card with what every card must have."""
    card = {"format": 1, "shape": {}, "complete": True}
    card |= dict.fromkeys(["method", "teacher", "corpus", "device_name", "precision"], "x")
    card |= dict.fromkeys(
        ["parameters", "teacher_parameters", "steps", "steps_done", "length", "batch", "seed", "seconds"], 1
    )
    scores = {"retained": 0.5, "masked_accuracy": 0.25, "teacher_masked_accuracy": 0.5}
    return sealed(card | {"scores": scores})


def test_a_card_with_one_bit_changed_is_refused_and_one_of_a_later_version_too(tmp_path):
    """Harm: a score that nobody measured, in a table."""
    run = create_run(tmp_path, {}, "x")
    whole = json.dumps(small_card()).encode()
    run.card_path.write_bytes(whole)
    assert run.card() == small_card()
    for bit in range(8 * len(whole)):
        run.card_path.write_bytes(flipped(whole, bit))
        card, error = outcome(run.card)
        # a bit in the name of the checksum itself is no matter
        assert (isinstance(error, RunError) and "card.json" in str(error)) or card["scores"] == small_card()["scores"]
    run.card_path.write_text(json.dumps(sealed({"format": 2})))
    with pytest.raises(RunError, match="newer version of Heirloom"):
        run.card()


def test_a_damaged_card_is_read_beside_the_student(tmp_path):
    """Harm: one bit in a card, and a finished run can neither be looked at nor compared."""
    run = create_run(tmp_path, {}, "x")
    card = small_card()
    run.student_dir.mkdir()
    (run.student_dir / "card.json").write_text(json.dumps(card))
    write_checksums(run.student_dir)
    run.card_path.write_text(json.dumps({**card, "scores": {"retained": 0.9}}))
    assert run.card() == card
    run.card_path.write_bytes(b"")
    assert run.card() == card
    (run.student_dir / "card.json").write_text(json.dumps({**card, "scores": {"retained": 0.9}}))
    with pytest.raises(RunError, match="card.json"):
        run.card()


def test_no_bit_of_an_attention_frame_shows_another_picture(tmp_path):
    """Harm: a picture of attention that no model had; or a stray exception of a decompressor."""
    write_frame_sentences(tmp_path, [["[CLS]", "a", "[SEP]"]])
    maps = np.random.default_rng(0).random((4, 3, 3))
    write_student_frame(tmp_path, 5, [maps], [0, 0, 1, 1])
    frames, path = read_frames(tmp_path), tmp_path / "step-000000005.npz"
    whole, right = path.read_bytes(), np.concatenate(frames.student(5, 0))
    for bit in range(0, 8 * len(whole), 11):
        path.write_bytes(flipped(whole, bit))
        seen, error = outcome(lambda: np.concatenate(frames.student(5, 0)))
        assert isinstance(error, AttentionFramesError) or np.array_equal(seen, right), (bit, error)
    path.write_bytes(whole)
    sentences = tmp_path / "sentences.json"
    whole = sentences.read_bytes()
    for bit in range(8 * len(whole)):
        sentences.write_bytes(flipped(whole, bit))
        seen, error = outcome(lambda: read_frames(tmp_path).tokens)
        assert isinstance(error, AttentionFramesError) or seen == frames.tokens, (bit, error)


def test_attention_that_is_no_number_is_not_kept(tmp_path):
    """Harm: a frame of 0s, drawn as if a student had looked nowhere."""
    with pytest.raises(AttentionFramesError, match="no numbers"):
        write_student_frame(tmp_path, 5, [np.full((1, 2, 2), np.nan)], [0])
    assert not list(tmp_path.iterdir())
