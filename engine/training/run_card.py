"""What a run says of itself: its first event, and the card that explains its student."""

from __future__ import annotations

import dataclasses
import platform
from importlib.metadata import version
from typing import Any

import torch

from engine.learning import score_kind as measure
from engine.model.bert import Bert
from engine.settings.budget import parse_budget
from engine.settings.project import VERSION
from engine.settings.run_config import RunConfig
from engine.sizing.cost import multiply_adds, parameters
from engine.sizing.shape import Shape
from engine.storage.checksums import sealed
from engine.storage.runs import CARD_FORMAT
from engine.teachers.catalog import parent_run
from engine.text.masking import MASKED_SHARE
from engine.training.plan import Plan


def student_card(
    id: str,
    config: RunConfig,
    plan: Plan,
    bert: Bert,
    teacher: Shape,
    step: int,
    scores: tuple[dict[str, float], dict[str, float]],
    seconds: float,
    spent: dict[str, Any],
    measured: dict[str, Any],
) -> dict[str, Any]:
    """The card of the run `id` that made `bert` in `step` steps and `seconds`. `scores`: teacher's, student's.

    `spent`: tokens (without padding), FLOPs (the teacher's included) and seconds of all its training steps.
    `measured`: as `engine.training.before_after.measured`. The card holds its own checksum.
    """
    taught, learned = scores
    card = {
        "format": CARD_FORMAT,
        **{name: value for name, value in config.to_json().items() if name not in ("device", "student")},
        "options": dataclasses.asdict(plan.method.options),
        "id": id,
        "parent": config.parent or parent_run(config.teacher),
        "corpus": plan.corpus,
        "steps_done": step,
        "complete": step == config.steps and bert.shape == plan.shape,
        "shape": bert.shape.to_json(),
        "parameters": parameters(bert.shape),
        "encoder_parameters": parameters(bert.shape.replace(mlm_head=False)),
        "teacher_parameters": parameters(teacher.replace(mlm_head=bert.shape.mlm_head)),
        "measure": measure.score_kind_json(plan.method.task.score_kind),
        "classes": list(plan.method.task.classes),
        "scores": {
            **measure.card_scores(plan.method.task.score_kind, taught, learned),
            **{name: learned[name] for name in ("pair_accuracy",) if name in learned},
        },
        "measured": measured,
        "device": plan.device.type,
        "device_name": plan.device.name,
        "seconds": round(seconds, 2),
        "budget": {
            "asked": str(parse_budget(config.budget)) if config.budget else f"{config.steps:,} steps",
            "planned": plan.estimate.to_json(),
        },
        "tokens": spent["tokens"],
        "flops": spent["flops"],
        "training_seconds": round(spent["training_seconds"], 2),
        "versions": {
            "heirloom": VERSION,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": version("transformers"),
        },
    }
    return sealed(card)


def predicted_words(length: int, share: float = MASKED_SHARE) -> int:
    """How many tokens of a row of `length` are hidden and predicted, as expected of a row without padding."""
    return round(share * length)


def start_event(
    config: RunConfig, plan: Plan, teacher: Shape, training_parameters: int, length: int, rows: int, step: int
) -> dict[str, Any]:
    """What is known of a run when its first step, or after a resume the one after `step`, begins.

    `training_parameters`: of the student as it trains. `length`: of the training `rows`, in tokens. Multiply-adds a
    token are those of a forward pass over a row without padding; the masked-LM head, the widest product of a small
    model, runs on the hidden words only, and is counted on so many of them as a row has.
    """
    hidden = predicted_words(length, config.mask_share)
    taught = teacher.replace(pooler=False, pair_head=False, mlm_head=plan.shape.mlm_head)
    return {
        "kind": "start",
        "step": step,
        "steps": config.steps,
        "planned": plan.estimate.to_json(),
        "processes": config.processes,
        "device": plan.device.type,
        "device_name": plan.device.name,
        "precision": "bfloat16 products, float32 weights" if plan.device.mixed_precision else "float32",
        "numbers_title": plan.method.about.numbers_title,
        "numbers_unit": plan.method.about.numbers_unit,
        "corpus": plan.corpus,
        "measure": measure.score_kind_json(plan.method.task.score_kind),
        "rows": rows,
        "teacher_shape": plan.teacher.shape.to_json(),
        "student_shape": plan.shape.to_json(),
        "teacher_parameters": parameters(teacher.replace(mlm_head=plan.shape.mlm_head)),
        "student_parameters": parameters(plan.shape),
        "training_parameters": training_parameters,
        "multiply_adds_per_token": {
            "teacher": multiply_adds(taught, length, hidden) / length,
            "student": multiply_adds(plan.shape, length, hidden) / length,
        },
    }
