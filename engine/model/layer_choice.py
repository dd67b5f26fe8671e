"""Which of a teacher's layers a shallower student starts from."""

from __future__ import annotations

from engine.model.bert import Bert
from engine.sizing.shape import Shape

LAYER_CHOICES = ("spread", "every", "first", "last", "listed")


def choose_layers(have: int, want: int, which: str, listed: str = "") -> tuple[list[int], list[str]]:
    """Which `want` of a teacher's `have` layers (from 0) a student inherits, and what is wrong with the choice.

    "spread": evenly from first to last, as DistilBERT; "every": the k-th, 2k-th ... with k = have // want, as
    TinyBERT's map; "first", "last"; "listed": the numbers in `listed`, from 1, such as "1, 4, 6".
    """
    if which == "listed":
        numbers = [int(part) - 1 if part.strip().isdecimal() else -1 for part in listed.split(",")]
        rising = all(a < b for a, b in zip(numbers, numbers[1:], strict=False))
        if len(numbers) != want or not rising or numbers[0] < 0 or numbers[-1] >= have:
            return [], [
                f"Listed layers must be {want} rising numbers between 1 and {have}, got {listed[:80]!r}; write "
                f"{', '.join(str(round(i * (have - 1) / max(1, want - 1)) + 1) for i in range(want))}, for example."
            ]
        return numbers, []
    if which == "every":
        return [(index + 1) * (have // want) - 1 for index in range(want)], []
    if which == "spread":
        return [round(index * (have - 1) / max(1, want - 1)) for index in range(want)], []
    return list(range(want)) if which == "first" else list(range(have - want, have)), []


def select_layers(teacher: Bert, chosen: list[int]) -> Bert:
    """A copy of `teacher` with the `chosen` ones of its layers (from 0), in that order."""
    bert, weights = Bert(teacher.shape.replace(layers=len(chosen))), teacher.state_dict()
    renamed = {}
    for name in bert.state_dict():
        parts = name.split(".")
        if parts[0] in ("attentions", "ffns"):
            parts[1] = str(chosen[int(parts[1])])
        renamed[name] = weights[".".join(parts)]
    bert.load_state_dict(renamed)
    return bert


def layer_copy_objections(teacher: Shape, student: Shape, who: str) -> list[str]:
    """Why `student` cannot take whole layers over from `teacher`, one sentence each; `who`: "A DistilBERT student"."""
    problems = []
    for name in ("hidden", "heads", "head_dim", "ffn"):
        has, wants = getattr(teacher, name), getattr(student, name)
        if has != wants:
            problems.append(
                f"{who} takes whole layers over from its teacher, so its {name} is {has}, got {wants}; choose fewer "
                "layers instead, or another method."
            )
    if student.layers > teacher.layers:
        problems.append(
            f"{who} has at most its teacher's {teacher.layers} layers, got {student.layers}; use {teacher.layers}."
        )
    if teacher.sharing != "none":
        problems.append(
            f"The teacher of {who[:1].lower()}{who[1:]} needs layers with weights of their own; choose a BERT."
        )
    return problems
