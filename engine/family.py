"""The family picture as a grid: every method makes the same student of the same teacher, at the same budget.

Each method runs with the options that the app offers first. A method that cannot make the common shape makes one with
about as many parameters, and says so.
"""

from __future__ import annotations

from typing import Any

from engine.grid import Grid, Row

STUDENT: dict[str, Any] = {"layers": 4, "hidden": 64, "heads": 4}
LEARNS, WIDE, BUILT = "makes the common shape", "needs the teacher's width", "saves by its build"
CUT = "cut out of the teacher"
THIN = 0.125  # rank as a share of the width: about the parameters of the common shape
ALBERT_OPTIONS: dict[str, Any] = {"pairs": "none", "soft": 0.5}  # one segment, and a teacher, as the others have
HALF = 2  # of the width is the embedding's: a sixth would be 10 dims for 211 words

FAMILY = Grid(
    "family",
    "Every method, one budget",
    "A 4 x 128 teacher of the microworld, its student 4 x 64 by every method: same text, order, steps and seeds.",
    {
        "teacher": "microworld",
        "corpus": "microworld",
        "steps": 400,
        "batch": 32,
        "length": 64,
        "evaluations": 1,
        "checkpoints": 2,
    },
    (
        Row("scratch", "From scratch", LEARNS, {"method": "scratch", "student": STUDENT}, note="The null: no teacher."),
        Row("soft-targets", "Soft targets", LEARNS, {"method": "soft_targets", "student": STUDENT}, "scratch"),
        Row("tinybert", "TinyBERT", LEARNS, {"method": "tinybert", "student": STUDENT}, "scratch"),
        Row("minilm", "MiniLM", LEARNS, {"method": "minilm", "student": STUDENT}, "scratch"),
        Row("minilmv2", "MiniLMv2", LEARNS, {"method": "minilmv2", "student": STUDENT}, "scratch"),
        Row("wid", "WID", LEARNS, {"method": "wid", "student": STUDENT}, "scratch"),
        Row(
            "distilbert",
            "DistilBERT",
            WIDE,
            {"method": "distilbert", "student": {"layers": 1}},
            "scratch",
            "It takes whole layers over, so its student is 1 x 128: about as many parameters as 4 x 64.",
        ),
        Row(
            "pkd",
            "PKD",
            WIDE,
            {"method": "pkd", "student": {"layers": 2}},
            "scratch",
            "2 x 128, for it imitates a layer below its last. It learns the grammar task itself and never to fill in "
            "words, so it has no masked accuracy.",
        ),
        Row(
            "albert",
            "ALBERT 4 x 64",
            BUILT,
            {"method": "albert", "student": STUDENT, "options": {**ALBERT_OPTIONS, "embedding": 64 // HALF}},
            "scratch",
            "All layers shared, E = 32, half of its loss from soft targets: a third of the parameters.",
        ),
        Row(
            "albert-wide",
            "ALBERT 4 x 128",
            BUILT,
            {
                "method": "albert",
                "student": {**STUDENT, "hidden": 128},
                "options": {**ALBERT_OPTIONS, "embedding": 128 // HALF},
            },
            "scratch",
            "The same as wide as the teacher, E = 64: about the parameters of the common shape, four times its work.",
        ),
        Row(
            "int8",
            "Int8",
            CUT,
            {"method": "int8", "steps": 0},
            "scratch",
            "No steps. All parameters stay; a weight takes one byte instead of four.",
        ),
        Row(
            "magnitude",
            "Magnitude",
            CUT,
            {"method": "magnitude", "steps": 0},
            "scratch",
            "No steps. Half of the layers' weights are zero and are still stored and multiplied.",
        ),
        Row(
            "heads",
            "Heads",
            CUT,
            {"method": "head_pruning", "steps": 0},
            "scratch",
            "No steps. Half of the heads are taken out.",
        ),
        Row(
            "heads-healed",
            "Heads, healed",
            CUT,
            {"method": "head_pruning"},
            "scratch",
            "Half of the heads are taken out first.",
        ),
        Row(
            "ffn",
            "FFN",
            CUT,
            {"method": "ffn_pruning", "steps": 0},
            "scratch",
            "No steps. Half of the neurons are taken out.",
        ),
        Row(
            "ffn-healed",
            "FFN, healed",
            CUT,
            {"method": "ffn_pruning"},
            "scratch",
            "Half of the neurons are taken out first.",
        ),
        Row(
            "low-rank",
            "Low rank",
            CUT,
            {"method": "low_rank", "steps": 0, "options": {"share": THIN}},
            "scratch",
            "No steps. Rank 16: about as many parameters as 4 x 64.",
        ),
        Row(
            "low-rank-healed",
            "Low rank, healed",
            CUT,
            {"method": "low_rank", "options": {"share": THIN}},
            "scratch",
            "Rank 16: about as many parameters as 4 x 64.",
        ),
    ),
    ("retained", "masked_accuracy", "grammar"),
    timed=True,
    with_teacher=True,
)
