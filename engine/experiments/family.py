"""The experiments `family` and `family-english`: every method makes the same student of one teacher, at one budget.

They are published, so their rows are a choice written down here, not a list of what is registered: a new method joins
with a row of its own when somebody has run it. Each method runs with the options that the app offers first. A method
that cannot make the common shape makes one with about as many parameters where it can, and says so.
"""

from __future__ import annotations

from typing import Any

from engine.experiments.grid import NLTK_ENGLISH, Grid, Row

COMMON_SHAPE, TEACHER_WIDTH, BY_BUILD = "makes the common shape", "needs the teacher's width", "saves by its build"
ONE_SHOT = "cut out of the teacher"
RANK_SHARE = 0.125  # rank as a share of the width: in the microworld about the parameters of the common shape
ALBERT_OPTIONS: dict[str, Any] = {"pairs": "none", "soft": 0.5}  # one segment, and a teacher, as the others have
HALF, THIRD = 2, 3  # of the width is the embedding's: the paper's sixth would be 10 dims for 211 words


def _common_shape_rows(student: dict[str, Any], soft: str = "", wid: str = "") -> tuple[Row, ...]:
    """Methods that make the common shape; `soft`, `wid`: what is to be said of these."""
    return (
        Row(
            "scratch",
            "From scratch",
            COMMON_SHAPE,
            {"method": "scratch", "student": student},
            note="The null: no teacher.",
        ),
        Row(
            "soft-targets",
            "Soft targets",
            COMMON_SHAPE,
            {"method": "soft_targets", "student": student},
            "scratch",
            soft,
        ),
        Row("tinybert", "TinyBERT", COMMON_SHAPE, {"method": "tinybert", "student": student}, "scratch"),
        Row("minilm", "MiniLM", COMMON_SHAPE, {"method": "minilm", "student": student}, "scratch"),
        Row("minilmv2", "MiniLMv2", COMMON_SHAPE, {"method": "minilmv2", "student": student}, "scratch"),
        Row("wid", "WID", COMMON_SHAPE, {"method": "wid", "student": student}, "scratch", wid),
    )


def _teacher_width_rows(distilbert: dict[str, Any], about: str, pkd: dict[str, Any], pkd_about: str) -> tuple[Row, ...]:
    """Methods that keep the teacher's width; `pkd`: what its run is set to."""
    learned = {"method": "pkd", **pkd}
    return (
        Row(
            "distilbert", "DistilBERT", TEACHER_WIDTH, {"method": "distilbert", "student": distilbert}, "scratch", about
        ),
        Row("pkd", "PKD", TEACHER_WIDTH, learned, "scratch", f"{pkd_about}, so it has no masked accuracy."),
    )


def _albert_row(name: str, student: dict[str, Any], share: int, note: str) -> Row:
    """An ALBERT of that size, its embeddings a `share` of its width."""
    options = {**ALBERT_OPTIONS, "embedding": student["hidden"] // share}
    label = f"ALBERT {student['layers']} x {student['hidden']}"
    return Row(name, label, BY_BUILD, {"method": "albert", "student": student, "options": options}, "scratch", note)


def _one_shot_rows(rank: str) -> tuple[Row, ...]:
    """One-shot compressions of the teacher, without steps and with."""
    heads, ffn = "Half of the heads are taken out", "Half of the neurons are taken out"
    thin = {"method": "low_rank", "options": {"share": RANK_SHARE}}
    return (
        Row(
            "int8",
            "Int8",
            ONE_SHOT,
            {"method": "int8", "steps": 0},
            "scratch",
            "No steps. All parameters stay; a weight takes one byte instead of four.",
        ),
        Row(
            "magnitude",
            "Magnitude",
            ONE_SHOT,
            {"method": "magnitude", "steps": 0},
            "scratch",
            "No steps. Half of the layers' weights are zero and are still stored and multiplied.",
        ),
        Row("heads", "Heads", ONE_SHOT, {"method": "head_pruning", "steps": 0}, "scratch", f"No steps. {heads}."),
        Row("heads-healed", "Heads, healed", ONE_SHOT, {"method": "head_pruning"}, "scratch", f"{heads} first."),
        Row("ffn", "FFN", ONE_SHOT, {"method": "ffn_pruning", "steps": 0}, "scratch", f"No steps. {ffn}."),
        Row("ffn-healed", "FFN, healed", ONE_SHOT, {"method": "ffn_pruning"}, "scratch", f"{ffn} first."),
        Row("low-rank", "Low rank", ONE_SHOT, {**thin, "steps": 0}, "scratch", f"No steps. {rank}"),
        Row("low-rank-healed", "Low rank, healed", ONE_SHOT, thin, "scratch", rank),
    )


SMALL: dict[str, Any] = {"layers": 4, "hidden": 64, "heads": 4}
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
        *_common_shape_rows(SMALL),
        *_teacher_width_rows(
            {"layers": 1},
            "It takes whole layers over, so its student is 1 x 128: about as many parameters as 4 x 64.",
            {"student": {"layers": 2}},
            "2 x 128, for it imitates a layer below its last. It learns the grammar task itself and never to fill in "
            "words",
        ),
        _albert_row(
            "albert",
            SMALL,
            HALF,
            "All layers shared, E = 32, half of its loss from soft targets: a third of the parameters.",
        ),
        _albert_row(
            "albert-wide",
            {**SMALL, "hidden": 128},
            HALF,
            "The same as wide as the teacher, E = 64: about the parameters of the common shape, four times its work.",
        ),
        *_one_shot_rows("Rank 16: about as many parameters as 4 x 64."),
    ),
    ("retained", "masked_accuracy", "grammar"),
    timed=True,
    with_teacher=True,
)

PLATEAU = "On this budget it never leaves the plateau where every blank gets the commonest word"
MIDDLE: dict[str, Any] = {"layers": 6, "hidden": 192, "heads": 12}
FAMILY_ENGLISH = Grid(
    "family-english",
    "Every method, one budget, in English",
    "minilm-early (6 x 384, real English), its student 6 x 192 by every method: same text, order, steps and seeds. "
    "Half of its parameters are the embeddings of 30,522 tokens.",
    {
        "teacher": "minilm-early",
        "corpus": NLTK_ENGLISH,
        "steps": 1000,
        "batch": 32,
        "length": 64,
        "evaluations": 1,
        "checkpoints": 2,
    },
    (
        *_common_shape_rows(
            MIDDLE,
            f"{PLATEAU}; with 1,500 steps, and so a longer warm-up, it does (A real teacher halved).",
            "Its decoder is its own: 5.9M parameters beside the encoder, not tied to embeddings.",
        ),
        Row(
            "soft-targets-slower",
            "Soft targets, slower",
            COMMON_SHAPE,
            {"method": "soft_targets", "student": MIDDLE, "options": {"lr": 5e-4}},
            "scratch",
            "Half of the default learning rate, which takes it off the plateau. On a CPU; the others were not tried "
            "at other rates.",
        ),
        *_teacher_width_rows(
            {"layers": 3},
            "It takes whole layers over, so its student is 3 x 384: twice the parameters of 6 x 192.",
            {"student": {"layers": 3}, "options": {"task": "sentence_polarity"}, "corpus": "auto"},
            "3 x 384: twice the parameters of 6 x 192. It learns the polarity task itself and never to fill in words",
        ),
        _albert_row(
            "albert",
            MIDDLE,
            HALF,
            f"All layers shared, E = 96, half of its loss from soft targets: under half of the parameters. {PLATEAU}.",
        ),
        _albert_row(
            "albert-wide",
            {**MIDDLE, "hidden": 384},
            THIRD,
            "The same as wide as the teacher, E = 128: fewer parameters than the common shape, four times its work. "
            f"{PLATEAU}.",
        ),
        *_one_shot_rows(
            "Rank 48 in the layers; the embeddings keep their width, so it has more parameters than 6 x 192."
        ),
    ),
    ("retained", "masked_accuracy", "sentence_polarity"),
    timed=True,
    with_teacher=True,
)
