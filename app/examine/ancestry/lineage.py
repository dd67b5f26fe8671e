"""A student's lineage: read from its folder, and what there is to say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from app.examine.model_pair import ModelPair
from app.session import caches
from engine.inspection.lineage import Lineage, read_lineage
from engine.storage.run_records import is_number


def read_student_lineage(pair: ModelPair, folder: Path) -> Lineage | None:
    """The student's lineage, or None: it keeps none.

    Raises:
        ValueError: (LineageError, CheckpointError) it is damaged.
    """

    def make() -> Lineage | None:
        from engine.model.saved_models import load_lineage

        tensors = {name: tensor.numpy() for name, tensor in load_lineage(folder).items()}
        if "dims.residual" not in tensors:  # something else may be kept there, a classifier for one
            return None
        return read_lineage(tensors, pair.teacher.bert.shape, pair.student.bert.shape, pair.layer_map())

    return caches.compute_once(("lineage", pair.student_key, pair.teacher_key), make)


def moment_of_compactors(card: dict[str, Any]) -> str:
    """In words: of which moment of a run the compactors are."""
    options = card.get("options") or {}
    done, steps = int(card.get("steps_done") or 0), int(card.get("steps") or 0)
    closed_by = options.get("closed_by", 0.5)
    closed_by = closed_by if is_number(closed_by) else 0.5
    if done < (closed_by if "closed_by" in options else 1.0) * steps:
        return f"The run was stopped after {done:,} of {steps:,} steps; dims that were still closing were cut off. "
    if options.get("after_closing") == "folded":
        return (
            f"They are those of the moment when everything was closed, about {closed_by:.0%} into "
            "the run; after it the student went on learning as a plain BERT, and what changed then is not in them. "
        )
    return "They were kept to the end of the run. "


def layer_origins(lineage: Lineage) -> str:
    """In words: which of the teacher's layers the student's come from; empty where all have stayed."""
    if lineage.student.layers == lineage.teacher.layers:
        return ""
    pairs = ", ".join(f"{layer + 1} from {origin + 1}" for layer, origin in enumerate(lineage.layers))
    return f"The student is shallower than its teacher; its layers come: {pairs}."


def choose_student_layer(lineage: Lineage, key: str, label: str = "Layer of the student", place: Any = st) -> int:
    """A choice among the student's layers, each named with the teacher's that it comes from; it counts from 0."""
    return place.selectbox(
        label,
        range(lineage.student.layers),
        format_func=lambda layer: f"{layer + 1}, from the teacher's {lineage.layers[layer] + 1}",
        key=key,
    )
