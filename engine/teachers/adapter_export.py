"""The adapter of an adaptation run, exported with a card: the scores in it are of the file as it is shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.learning.closeness import closeness
from engine.learning.intervals import share_interval
from engine.learning.masked_lm import masked_lm_score
from engine.model.saved_models import load_lineage, load_model
from engine.settings.device import pick_device
from engine.storage.atomic import write_json
from engine.storage.runs import Run
from engine.teachers.adapter import AdapterError, add_adapter, write_adapter
from engine.teachers.catalog import load_teacher
from engine.text.corpora import open_corpus

RECIPE_KEYS = (
    "id", "method", "corpus", "options", "steps_done", "batch", "length", "mask_share", "masking", "seed", "precision",
)  # fmt: skip


def export_adapter(run: Run, folder: Path, corpus_name: str = "", length: int = 0) -> dict[str, Any]:
    """Writes the adapter of the adaptation `run` into `folder`; its card, with scores of what is in the file.

    `corpus_name`: what it is scored on, and what its students are offered first, in rows of `length` tokens; without,
    the text that it learned from, in rows as long as there.

    Raises:
        ValueError: (AdapterError, CheckpointError, TeacherError, CorpusError) the run was no adaptation, its teacher is
            gone, or the folder is not empty.
    """
    made = load_model(run.student_dir).card
    if made["method"] != "adapt":
        raise AdapterError(f"The run {run.id} was no adaptation, so it has no adapter; train one with --method adapt.")
    original = load_teacher(made["teacher"], run.path.parent)
    size = write_adapter(folder, load_lineage(run.student_dir))
    device = pick_device("cpu")
    name, length = corpus_name or str(made["corpus"]), length or int(made["length"])
    corpus = open_corpus(name, original.tokenizer, length, rows=1)
    adapted = add_adapter(original.bert, folder)
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
    write_json(folder / "card.json", card)
    return {**card, "bytes": size}
