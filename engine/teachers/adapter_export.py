"""The adapter of an adaptation run, exported with a card: the scores in it are of the file as it is shipped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from engine.learning.closeness import closeness
from engine.learning.intervals import share_interval
from engine.learning.masked_lm import masked_lm_score
from engine.model.bert import Bert
from engine.model.export import export_model, new_folder
from engine.model.exported_card import hub_id, without_paths
from engine.model.saved_models import Model, load_lineage, load_model
from engine.settings.device import pick_device
from engine.storage.atomic import write_json
from engine.storage.json_file import read_json_object
from engine.storage.runs import Run
from engine.teachers.adapter import (
    FILE,
    AdapterError,
    adapter_tensors,
    add_adapter,
    read_adapter,
    refuse_overwriting,
    write_adapter,
)
from engine.teachers.card import Teacher
from engine.teachers.catalog import load_teacher
from engine.teachers.peft_layout import WEIGHTS, peft_card, write_peft
from engine.teachers.shipped import ADAPTERS
from engine.teachers.student_export import provenance
from engine.text.corpora import open_corpus

BASE = "base"  # the folder, inside an adapter's, of the model that it adds to
PUBLISHED = ("minilm-original",)  # of the shipped teachers those whose weights are on the Hub as they are
RECIPE_KEYS = (
    "id", "method", "corpus", "options", "steps_done", "batch", "length", "mask_share", "masking", "seed", "precision",
)  # fmt: skip


def export_adapter(
    run: Run, folder: Path, corpus_name: str = "", length: int = 0, peft: bool = False
) -> dict[str, Any]:
    """Writes the adapter of the adaptation `run` into `folder`; its card, with scores of what is in the file.

    `corpus_name`: what it is scored on, and what its students are offered first, in rows of `length` tokens; without,
    the text that it learned from, in rows as long as there. `peft`: in PEFT's layout and in float32, with a model card,
    and with its base in base/ where no checkpoint elsewhere is that.

    Raises:
        ValueError: (AdapterError, CheckpointError, TeacherError, CorpusError) the run was no adaptation, its teacher is
            gone, PEFT has no such adapter, or the folder is not empty or cannot be written.
    """
    student = load_model(run.student_dir)
    made = student.card
    if made["method"] != "adapt":
        raise AdapterError(f"The run {run.id} was no adaptation, so it has no adapter; train one with --method adapt.")
    refuse_overwriting(folder)
    original = load_teacher(made["teacher"], run.path.parent)
    lineage = load_lineage(run.student_dir)
    device = pick_device("cpu")
    name, length = corpus_name or str(made["corpus"]), length or int(made["length"])
    corpus = open_corpus(name, original.tokenizer, length, rows=1)
    with new_folder(folder) as draft:
        if peft:
            adapted, learned = student.bert, adapter_tensors(lineage)
            note = _write_peft(draft, original, adapted, learned, made, run.path.parent)
        else:
            write_adapter(draft, lineage)
            note, adapted = "", add_adapter(original.bert, draft)
        score, before = (masked_lm_score(bert.eval(), corpus, device) for bert in (adapted, original.bert))
        low, high = share_interval(score["accuracy"], score["words"])
        card = {
            "teacher": made["teacher"],
            "corpus": name,
            "length": length,
            "recipe": {name: made.get(name) for name in RECIPE_KEYS},
            "scores": {
                "masked_accuracy": score["accuracy"],
                "masked_loss": score["loss"],
                "masked_accuracy_interval": (high - low) / 2,
                "original_masked_accuracy": before["accuracy"],
                **closeness(adapted, original.bert, corpus, device),
            },
            "versions": made["versions"],
        }
        write_json(draft / "card.json", without_paths(card) if peft else card)
        size = (draft / (WEIGHTS if peft else FILE)).stat().st_size
    return {**card, "bytes": size, **({"note": note} if note else {})}


def convert_adapter(place: Path, folder: Path, runs: Path) -> dict[str, Any]:
    """Writes an adapter that lies in the folder `place` into `folder` in PEFT's layout; its card, as it was.

    Raises:
        ValueError: (AdapterError, CheckpointError, TeacherError) it is damaged, its teacher is gone, PEFT has no such
            adapter, or the folder is not empty or cannot be written.
    """
    refuse_overwriting(folder)
    try:
        card = read_json_object(place / "card.json")
        told, teacher = {**card["recipe"], "corpus": card["corpus"], "scores": card["scores"]}, str(card["teacher"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AdapterError(f"The adapter in {place.name} has no card.json, or a damaged one.") from error
    original = load_teacher(teacher, runs)
    adapted, learned = add_adapter(original.bert, place), read_adapter(place)
    with new_folder(folder) as draft:
        note = _write_peft(draft, original, adapted, learned, told | {"teacher": teacher}, runs)
        write_json(draft / "card.json", without_paths(card))
        size = (draft / WEIGHTS).stat().st_size
    return {**card, "bytes": size, **({"note": note} if note else {})}


def adapter_folder(name: str) -> Path | None:
    """The folder of the adapter of a shipped teacher called `name`, or `name` itself if an adapter lies there."""
    place = ADAPTERS[name][1] if name in ADAPTERS else Path(name)
    return place if (place / FILE).is_file() else None


def _write_peft(
    folder: Path, original: Teacher, adapted: Bert, learned: dict[str, Tensor], told: Mapping[str, Any], runs: Path
) -> str:
    """Writes PEFT's two files, a model card and, if nobody else has it, the base; what has to be said.

    `told`: what the adapted model's card says.
    """
    teacher, shape = original.card.name, original.bert.shape
    # a checkpoint that had several layers in a group was unrolled, and has other names than ours now
    own = teacher not in PUBLISHED and not teacher.startswith(("hub:", "local:"))
    own = own or (shape.family == "albert" and shape.sharing == "none")
    place = "" if own or teacher.startswith("local:") else hub_id(teacher)
    note = write_peft(folder, original.bert, adapted, learned, place)
    whence = provenance(str(told["teacher"]), runs)
    if own:
        named = {"id": hub_id(teacher), "teacher": teacher}
        export_model(Model(original.bert, original.tokenizer, named), folder / BASE, provenance=whence)
    page = peft_card(told, adapted.shape, whence, f"this/folder/{BASE}" if own else place, note)
    (folder / "README.md").write_text(page, encoding="utf-8")
    return note
