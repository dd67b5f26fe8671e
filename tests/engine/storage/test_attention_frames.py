"""A run's film on the disk: what is damaged is named."""

import numpy as np
import pytest

from engine.storage.attention_frames import (
    AttentionFramesError,
    read_frames,
    write_frame_sentences,
    write_student_frame,
)

pytestmark = pytest.mark.usefixtures("few_held_out")


def test_a_damaged_snapshot_is_named(tmp_path):
    """Harm: a torn or hostile file runs code, fills the memory or shows a traceback."""
    write_frame_sentences(tmp_path, [["[CLS]", "a", "[SEP]"]])
    maps = np.full((4, 3, 3), 1 / 3)
    write_student_frame(tmp_path, 5, [maps], [0, 0, 1, 1])
    stored = read_frames(tmp_path)
    assert [layer.shape for layer in stored.student(5, 0)] == [(2, 3, 3), (2, 3, 3)]
    with pytest.raises(AttentionFramesError, match="teacher.npz is missing"):
        stored.teacher(0)
    path = tmp_path / "step-000000005.npz"
    whole = path.read_bytes()
    hostile = {"heads": np.array([2, 2]), "s0": np.array([print], dtype=object)}
    for name, write in {
        "torn": lambda: path.write_bytes(whole[:100]),
        "pickled": lambda: np.savez(path, **hostile),
        "other sentence": lambda: write_student_frame(tmp_path, 5, [maps[:, :2, :2]], [0, 0, 1, 1]),
        "other heads": lambda: np.savez(path, heads=np.array([2, 9]), s0=np.zeros((4, 3, 3), np.uint8)),
        "huge": lambda: np.savez_compressed(path, heads=np.array([2, 2]), s0=np.zeros((5000, 64, 64), np.uint8)),
        "a link": lambda: (path.unlink(), path.symlink_to("/etc/passwd")),
    }.items():
        write()
        with pytest.raises(AttentionFramesError, match="step-000000005"):
            raise AssertionError(name, stored.student(5, 0))
    (tmp_path / "sentences.json").write_text('{"tokens": 3}')
    with pytest.raises(AttentionFramesError, match="damaged"):
        read_frames(tmp_path)
    assert read_frames(tmp_path / "nowhere") is None
