"""Attention of a run's probe sentences on disk: the teacher's once, the student's at some steps. Bytes and no torch.

A folder holds sentences.json, teacher.npz and step-000000100.npz files. Attention is kept as bytes, 255 being all of
it. Every file appears whole or not at all; reading trusts nothing.
"""

from __future__ import annotations

import os
import re
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.storage.atomic import whole_file, write_json
from engine.storage.checksums import NewerFormatError, check_seal, refuse_newer, sealed
from engine.storage.json_file import open_regular, read_json_object

MOST_TOKENS = 64  # of a probe sentence
MOST_HEADS = 4096  # of a model
MOST_SENTENCES = 1024
LONGEST_TOKEN = 200  # characters
FORMAT = 1
DAMAGE = (  # what a damaged file is read as
    OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile, RuntimeError, zlib.error,
    MemoryError, OverflowError, struct.error,
)  # fmt: skip


class AttentionFramesError(ValueError):
    """Frames that cannot be read, in one sentence."""


@dataclass(frozen=True)
class AttentionFrames:
    """The frames of attention in a folder, oldest first. Maps are read when they are asked for."""

    folder: Path
    tokens: list[list[str]]  # of each sentence
    steps: list[int]

    def teacher(self, sentence: int) -> list[np.ndarray]:
        """The teacher's attention on `sentence`: of each layer (head, pos, pos) uint8.

        Raises:
            AttentionFramesError: the file is missing or damaged.
        """
        return _read_maps(self.folder / "teacher.npz", sentence, len(self.tokens[sentence]))

    def student(self, step: int, sentence: int) -> list[np.ndarray]:
        """The student's at `step`, in the same form. Raises AttentionFramesError as `teacher` does."""
        return _read_maps(self.folder / _frame_name(step), sentence, len(self.tokens[sentence]))


def read_frames(folder: Path) -> AttentionFrames | None:
    """What lies in `folder`; None where a run has kept nothing (yet).

    Raises:
        AttentionFramesError: the list of sentences is damaged.
    """
    path = folder / "sentences.json"
    if folder.is_symlink():
        raise AttentionFramesError("The attention snapshots' folder is a link to somewhere else.")
    if not os.path.lexists(path):
        return None
    try:
        told = read_json_object(path, links=False)
        check_seal(told)
        refuse_newer(told.get("format"), FORMAT, "The attention snapshots' sentences.json")
        tokens = [[str(token)[:LONGEST_TOKEN] for token in sentence] for sentence in told["tokens"]]
        if not 0 < len(tokens) <= MOST_SENTENCES or not all(0 < len(sentence) <= MOST_TOKENS for sentence in tokens):
            raise ValueError("no sentence, or one of impossible length")
    except NewerFormatError as error:
        raise AttentionFramesError(str(error)) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise AttentionFramesError(
            f"The attention snapshots' sentences.json is damaged ({type(error).__name__})."
        ) from error
    found = (re.fullmatch(r"step-(\d{9})\.npz", name) for name in os.listdir(folder))
    return AttentionFrames(folder, tokens, sorted(int(match[1]) for match in found if match))


def write_frame_sentences(folder: Path, tokens: Sequence[Sequence[str]]) -> None:
    """Says which sentences the frames in `folder` are of. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "sentences.json", sealed({"format": FORMAT, "tokens": [list(sentence) for sentence in tokens]}))


def write_teacher_frame(folder: Path, maps: Sequence[np.ndarray], layers: Sequence[int]) -> str:
    """Keeps the teacher's attention, as `write_student_frame`."""
    return _write_maps(folder / "teacher.npz", maps, layers)


def write_student_frame(folder: Path, step: int, maps: Sequence[np.ndarray], layers: Sequence[int]) -> str:
    """Keeps a student's attention at `step`; the file's name.

    `maps`: of each sentence (head, pos, pos) in 0-1. `layers`: of each head its layer, rising from 0.

    Raises:
        OSError: the disk refuses.
        AttentionFramesError: a value is no number.
    """
    return _write_maps(folder / _frame_name(step), maps, layers)


def _frame_name(step: int) -> str:
    return f"step-{step:09d}.npz"


def _write_maps(path: Path, maps: Sequence[np.ndarray], layers: Sequence[int]) -> str:
    if not all(np.isfinite(one).all() for one in maps):
        raise AttentionFramesError(f"Attention with values that are no numbers is not kept as {path.name}.")
    arrays = {f"s{index}": np.round(np.clip(one, 0, 1) * 255).astype(np.uint8) for index, one in enumerate(maps)}
    with whole_file(path) as draft, draft.open("xb") as file:
        np.savez_compressed(file, heads=np.bincount(np.asarray(layers)).astype(np.int32), **arrays)
    return path.name


def _read_maps(path: Path, sentence: int, tokens: int) -> list[np.ndarray]:
    try:
        if path.parent.is_symlink():
            raise ValueError("a link")
        with open_regular(path, links=False) as opened, np.load(opened, allow_pickle=False) as file:
            most = max(file.zip.infolist(), key=lambda member: member.file_size).file_size
            if most > MOST_HEADS * MOST_TOKENS**2 + 1024:
                raise ValueError("larger than any attention")
            heads, maps = file["heads"], file[f"s{sentence}"]
    except DAMAGE as error:
        what = "missing" if isinstance(error, FileNotFoundError) else f"damaged ({type(error).__name__})"
        raise AttentionFramesError(f"The attention snapshot {path.name} is {what}.") from error
    fits = heads.ndim == 1 and heads.dtype.kind == "i" and (heads > 0).all() and len(heads)
    if not fits or maps.dtype != np.uint8 or maps.shape != (int(heads.sum()), tokens, tokens):
        raise AttentionFramesError(f"The attention snapshot {path.name} does not fit its sentence; it is damaged.")
    return np.split(maps, np.cumsum(heads)[:-1])
