"""Whose attention a student has: two models and sentences in, the inheritance score with its nulls out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.inheritance.head_distances import HEAD_DISTANCES, InheritanceError, head_distances
from engine.inheritance.probe_sentences import AttentionMaps, ProbeSentences, sentence_attention
from engine.inheritance.random_null import random_student_distances
from engine.inheritance.score import (
    DEFINITION,
    NEGLIGIBLE_NULL,
    PAIRINGS,
    InheritanceScore,
    ScoreInterval,
    best_pairs,
    head_scores,
    inheritance_score,
    layer_scores,
    random_score,
    same_place_pairs,
    shuffled_score,
)
from engine.inspection.attention_divergence import content_only, jensen_shannon
from engine.model.bert import Bert

Progress = Callable[[float, str], object]  # a share 0-1 and what is being done
PAIRING_WORDS = {
    "matched": "best matching (optimal assignment, one to one)",
    "same_place": "same place (same head number, same relative depth)",
}
DIFFERENT_VOCABULARY = (
    "The student's vocabulary is not the teacher's, so the two do not see the same tokens and their attention cannot "
    "be compared token by token. Choose the teacher that the student learned from."
)


@dataclass(frozen=True)
class MeasuredInheritance:
    """The inheritance score by one measure."""

    scores: dict[str, InheritanceScore | None]  # by pairing; None: there is no same place
    nulls: dict[str, dict[str, ScoreInterval | None]]  # pairing -> "random", "shuffled", "from_scratch"
    heads: np.ndarray  # (student head, teacher head) scores
    layers: np.ndarray  # (student layer, teacher layer) scores


@dataclass(frozen=True)
class InheritanceReport:
    """How much of its teacher's attention a student has, and what to hold beside it."""

    sentences: ProbeSentences
    keep_special: bool
    student_layers: list[int]  # of each head, from 0
    teacher_layers: list[int]
    measures: dict[str, MeasuredInheritance]
    attention_among_words: dict[str, float]  # of "teacher", "student": share of words' attention on words, 0 to 1
    sharpness: dict[str, float]  # of each model: how far rows are from even attention, bits, mean
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values; layers and heads counted from 1."""
        return {
            "definition": DEFINITION,
            "sentences": len(self.sentences),
            "tokens": sum(map(len, self.sentences.ids)),
            "special_tokens": "kept" if self.keep_special else "left out",
            "attention_among_words": {name: round(value, 4) for name, value in self.attention_among_words.items()},
            "bits_from_even": {name: round(value, 4) for name, value in self.sharpness.items()},
            "notes": self.notes,
            "measures": {name: self._measured(measured) for name, measured in self.measures.items()},
        }

    def _measured(self, measured: MeasuredInheritance) -> dict[str, Any]:
        return {
            "scores": {name: found and self._score(found) for name, found in measured.scores.items()},
            "nulls": {
                pairing: {name: figure and figure.to_json() for name, figure in figures.items()}
                for pairing, figures in measured.nulls.items()
            },
            "heads": measured.heads.round(4).tolist(),
            "layers": measured.layers.round(4).tolist(),
        }

    def _score(self, found: InheritanceScore) -> dict[str, Any]:
        return {
            "total": found.total.to_json(),
            "layers": [figure and figure.to_json() for figure in found.layers],
            "pairs": [
                {"student": list(mine), "teacher": list(theirs), "score": round(float(value), 4)}
                for mine, theirs, value in self.named_pairs(found)
            ],
        }

    def named_pairs(self, found: InheritanceScore) -> list[tuple[tuple[int, int], tuple[int, int], float]]:
        """Of each pair ((layer, head) of the student, (layer, head) of the teacher, score), counted from 1."""
        mine, theirs = head_places(self.student_layers), head_places(self.teacher_layers)
        return [(mine[a], theirs[b], float(v)) for (a, b), v in zip(found.pairs.tolist(), found.heads, strict=True)]


def head_places(layers: Sequence[int]) -> list[tuple[int, int]]:
    """(layer, head) of each head, counted from 1, from its layer, counted from 0."""
    return [(layer + 1, index - layers.index(layer) + 1) for index, layer in enumerate(layers)]


def check_vocabulary(student: Any, teacher: Any) -> None:
    """Whether two tokenizers make the same tokens of a text.

    Raises:
        InheritanceError: they do not; says so in words.
    """
    if student.get_vocab() != teacher.get_vocab():
        raise InheritanceError(DIFFERENT_VOCABULARY)


def inheritance_report(
    student: Bert,
    teacher: Bert,
    sentences: ProbeSentences,
    pad: int,
    *,
    scratch: Bert | None = None,
    keep_special: bool = False,
    measures: Sequence[str] = HEAD_DISTANCES,
    progress: Progress | None = None,
) -> InheritanceReport:
    """Scores `student` against `teacher` on `sentences`, all on the CPU; `pad` is their tokenizer's padding token.

    `scratch`: a student of the same shape that learned from nobody, to stand beside. `keep_special`: [CLS] and [SEP]
    count, too, as places to look from and at.

    Raises:
        InheritanceError: the sentences are too long for a model.
    """
    longest, room = max(map(len, sentences.ids)), min(student.shape.positions, teacher.shape.positions)
    if longest > room:
        raise InheritanceError(f"A sentence has {longest} tokens and the models hold {room}; shorten it.")
    students = {"student": student, **({"from_scratch": scratch} if scratch is not None else {})}
    stages = _Stages(progress, 2 + 2 * len(students) + 1.5)
    keep = sentences.counted(keep_special)
    theirs = sentence_attention(teacher, sentences, "cpu", pad, stages.begin(0.5, "The teacher reads"))
    nulls = random_student_distances(
        student.shape, theirs.maps, sentences, keep, pad, measures, stages.begin(3.0, "Random students are compared")
    )
    seen, apart = {}, {}
    for name, model in students.items():
        who = "The student" if name == "student" else "The student from scratch"
        seen[name] = sentence_attention(model, sentences, "cpu", pad, stages.begin(0.5, f"{who} reads"))
        apart[name] = {
            measure: head_distances(
                seen[name].maps, theirs.maps, keep, measure, stages.begin(1.5 / len(measures), f"{who} is compared")
            )
            for measure in measures
        }
    stages.begin(0.0, "The figures")(0.0)
    mine = seen["student"].layers
    report = InheritanceReport(
        sentences,
        keep_special,
        mine,
        theirs.layers,
        {
            measure: _measured(
                {name: found[measure] for name, found in apart.items()}, nulls[measure], mine, theirs.layers
            )
            for measure in measures
        },
        {"teacher": _attention_among_counted(theirs, keep), "student": _attention_among_counted(seen["student"], keep)},
        {name: _sharpness(found, keep) for name, found in {"teacher": theirs, **seen}.items()},
        list(sentences.notes),
    )
    report.notes.extend(_warnings(report))
    if progress is not None:
        progress(1.0, "Done")
    return report


class _Stages:
    """Makes one progress, 0 to 1, of the progress of several stages."""

    def __init__(self, progress: Progress | None, total: float) -> None:
        self.progress, self.total, self.done = progress, total, 0.0

    def begin(self, size: float, doing: str) -> Callable[[float], object]:
        """The next stage, whose sizes add up to the total; what is returned is told its share, 0 to 1."""
        start, self.done = self.done, self.done + size
        tell = self.progress
        return lambda share: tell((start + share * size) / self.total, doing) if tell else None


def _measured(
    apart: dict[str, np.ndarray], nulls: np.ndarray, mine: list[int], theirs: list[int]
) -> MeasuredInheritance:
    """The scores by one measure, from the distances of each student, of the nulls, and of each head its layer."""
    student, in_place = apart["student"], same_place_pairs(mine, theirs)
    scores: dict[str, InheritanceScore | None] = {
        "matched": inheritance_score(student, nulls, best_pairs(student.mean(0)), mine, True)
    }
    scores["same_place"] = None if in_place is None else inheritance_score(student, nulls, in_place, mine, False)
    shuffled = shuffled_score(student, nulls)
    beside: dict[str, dict[str, ScoreInterval | None]] = {}
    for pairing in PAIRINGS:
        if scores[pairing] is None:
            continue
        scratch = None
        if "from_scratch" in apart:
            other = apart["from_scratch"]
            pairs = best_pairs(other.mean(0)) if pairing == "matched" else in_place
            assert pairs is not None
            scratch = inheritance_score(other, nulls, pairs, mine, pairing == "matched").total
        random = random_score(nulls, None if pairing == "matched" else in_place)
        beside[pairing] = {"random": random, "shuffled": shuffled, "from_scratch": scratch}
    return MeasuredInheritance(scores, beside, head_scores(student, nulls), layer_scores(student, nulls, mine, theirs))


def _attention_among_counted(seen: AttentionMaps, keep: Sequence[np.ndarray]) -> float:
    """Share of the attention of counted positions that goes to counted positions, mean over sentences and heads."""
    return float(
        np.mean([maps[:, counts][:, :, counts].sum(-1).mean() for maps, counts in zip(seen.maps, keep, strict=True)])
    )


def _sharpness(seen: AttentionMaps, keep: Sequence[np.ndarray]) -> float:
    """Mean Jensen-Shannon divergence of rows from even attention, in bits, over sentences, heads and rows."""
    found = []
    for maps, counts in zip(seen.maps, keep, strict=True):
        inner = content_only(maps, counts)
        found.append(jensen_shannon(inner, np.full_like(inner, 1 / inner.shape[-1])).mean())
    return float(np.mean(found))


def _warnings(report: InheritanceReport) -> list[str]:
    warnings = []
    measured = report.measures.get("divergence")
    matched = measured.scores["matched"] if measured else None
    if matched and matched.total.null < NEGLIGIBLE_NULL:
        warnings.append(
            f"A random student is only {matched.total.null:.4f} bits away from this teacher: there is hardly any "
            "attention to inherit, and the score is noise over noise."
        )
    if measured and measured.scores["same_place"] is None:
        warnings.append(
            "Teacher and student have another number of heads a layer, so there is no same place to compare."
        )
    if len(report.student_layers) < len(report.teacher_layers):
        warnings.append(
            f"The student has {len(report.student_layers)} heads and the teacher {len(report.teacher_layers)}: each "
            "student head is paired with a teacher head of its own, and the other teacher heads have no heir."
        )
    return warnings
