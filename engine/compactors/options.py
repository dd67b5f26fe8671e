"""The options of Weight-Inherited Distillation, and its presets: which of them belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.compactors.cut_schedule import RULES
from engine.model.layer_choice import LAYER_CHOICES
from engine.settings.options import option
from engine.sizing.wid_cost import STRATEGIES


@dataclass(frozen=True)
class WidOptions:
    """Options of Weight-Inherited Distillation."""

    strategy: str = option(
        "dim", "What attention loses: the same number of dims in every head, or whole heads.", choices=STRATEGIES
    )
    closed_by: float = option(
        0.5, "Share of the run after which every dim that must go has gone.", least=0.05, most=1.0, label="closed by"
    )
    compactor_lr: float = option(
        5e-4, "Peak learning rate of the compactors.", least=1e-7, most=1.0, label="compactor learning rate"
    )
    lr: float = option(
        5e-4, "Peak learning rate of the inherited weights.", least=0.0, most=1.0, label="weight learning rate"
    )
    after_closing: str = option(
        "folded",
        "Once everything is closed: multiply the compactors out and go on as the plain student, or keep them to the "
        "end as the release does, which takes more time and memory.",
        choices=("folded", "kept"),
        label="after closing",
    )
    student_lr: float = option(
        2e-3,
        "Peak learning rate of the plain student, once it is folded.",
        least=0.0,
        most=1.0,
        label="student learning rate",
    )
    layers_from: str = option(
        "spread",
        "A shallower student inherits these of the teacher's layers. The paper keeps the depth; this goes beyond it.",
        choices=LAYER_CHOICES,
        label="layers from",
        advanced=True,
    )
    layer_list: str = option(
        "",
        'The teacher\'s layers, counted from 1, for layers from "listed": such as 1, 4, 6.',
        label="listed layers",
        advanced=True,
    )
    cuts: int = option(
        16, 'In how many equal parts dims close under the rule "even".', least=1, most=1000, advanced=True
    )
    interval: int = option(
        0, 'Steps between cuts; 0: whatever closes all by the share "closed by".', least=0, most=10**6, advanced=True
    )
    rule: str = option(
        "even",
        "How many dims a cut takes: equal parts, or the counts and blocks of the authors' release.",
        choices=RULES,
        advanced=True,
    )
    ranking: str = option(
        "mean",
        "What ranks a group's dims: the mean norm over its compactors, or one reference compactor as in the release.",
        choices=("mean", "reference"),
        advanced=True,
    )
    closing: str = option(
        "linear",
        "How closing vectors reach zero: a straight line over one interval, or the release's penalty through Adam.",
        choices=("linear", "penalty"),
        advanced=True,
    )
    penalty: float = option(
        20.0, "Lambda: the strength of the penalty on closing vectors.", least=0.01, most=1000.0, advanced=True
    )
    norm_statistics: str = option(
        "kept",
        "Which dims LayerNorm looks at while some close: those that stay, or all, which makes it jump when they leave.",
        choices=("kept", "all"),
        label="LayerNorm over",
        advanced=True,
    )
    compactor_decay: float = option(
        0.0, "Weight decay of the compactors.", least=0.0, most=1.0, label="compactor weight decay", advanced=True
    )


WID_PRESETS: dict[str, dict[str, Any]] = {
    "quick": {},
    "paper": {
        "interval": 500,
        "rule": "release",
        "ranking": "reference",
        "closing": "penalty",
        "penalty": 20.0,
        "compactor_lr": 5e-5,
        "lr": 1e-6,
        "compactor_decay": 0.01,
        "after_closing": "kept",
    },
}
WID_PRESET_NOTES: dict[str, str] = {
    "quick": "For short runs: everything is closed in the first half, the rest is for learning.",
    "paper": "The choices of the authors' release. Made for 400,000 steps of 960 sequences, warm-up 1%; "
    "the last dims are chosen at step 8,000 or 9,000 and reach zero some thousand steps later.",
}
