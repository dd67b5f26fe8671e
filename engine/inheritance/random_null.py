"""The null of the inheritance score: freshly initialised students, and where they look."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from engine.inheritance.head_distances import head_distances
from engine.inheritance.probe_sentences import ProbeSentences, sentence_attention
from engine.model.bert import new_bert
from engine.sizing.shape import Shape

RANDOM_STUDENTS = 3  # random students
FIRST_SEED = 10_000  # of their weights: not one that a run is likely to have begun with


def random_student_distances(
    shape: Shape,
    teacher: Sequence[np.ndarray],
    sentences: ProbeSentences,
    keep: Sequence[np.ndarray],
    pad: int,
    measures: Sequence[str] = ("divergence",),
    progress: Callable[[float], object] | None = None,
) -> dict[str, np.ndarray]:
    """How far NULLS random students of `shape` are from the teacher, whose maps a sentence are `teacher`.

    measure -> (null, sentence, null head, teacher head). On the CPU; the caller's random numbers stay as they are.
    """
    found: dict[str, list[np.ndarray]] = {measure: [] for measure in measures}
    bare = shape.replace(mlm_head=False, pooler=False, pair_head=False)  # heads look nowhere
    for number in range(RANDOM_STUDENTS):
        with torch.random.fork_rng(devices=[]):
            blank = new_bert(bare, FIRST_SEED + number)
        maps = sentence_attention(blank.eval(), sentences, "cpu", pad).maps
        for measure in measures:
            found[measure].append(head_distances(maps, teacher, keep, measure))
        if progress is not None:
            progress((number + 1) / RANDOM_STUDENTS)
    return {measure: np.stack(parts) for measure, parts in found.items()}
