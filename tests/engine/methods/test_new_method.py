"""README's promise: a new method is one file. It is written into a copy of the tree, and nothing else is touched."""

import os
import shutil
import subprocess
import sys

import pytest

from engine.settings.project import ASSETS, PROJECT

METHOD = '''
"""State matching: some of the teacher's layers, and its hidden states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.learning.losses import at_least_float32, hidden_state_mse
from engine.methods.base import About, Method
from engine.methods.kinds.layer_map import ImitatesLayers, StartsFromLayers
from engine.model.bert import Bert, Trace
from engine.model.layer_choice import select_layers, layer_copy_objections
from engine.settings.options import option
from engine.sizing.shape import Shape
from engine.sizing.step_flops import FORWARD_AND_BACKWARD, encoder_flops, forward_flops
from engine.text.masking import Batch


@dataclass(frozen=True)
class StateMatchingOptions:
    """Options of state matching."""

    states: float = option(1.0, "Weight of the hidden states.", least=0.0, most=1e3)
    lr: float = option(1e-3, "Peak learning rate.", least=1e-7, most=1.0)


class StateMatching(ImitatesLayers, StartsFromLayers, Method):
    """The student starts as the teacher's first layers and is pulled towards the hidden states behind every k-th layer
    of its teacher, while it learns to fill in words. A method for a test, and an example of how little one needs.
    """

    about = About(
        name="state_matching",
        label="State matching",
        formula=r"\\mathcal{L}_{\\mathrm{MLM}} + \\sum_m \\mathrm{MSE}(H^S_m, H^T_{k m})",
        uses=("feature", "hard", "task-agnostic"),
        chooses=("layers",),
        inherits_weights=True,
    )
    Options = StateMatchingOptions

    options: StateMatchingOptions

    def student_shape(self, teacher: Shape, wanted: dict[str, Any]) -> Shape:
        """Half of the layers unless chosen."""
        layers = max(1, teacher.layers // 2) if wanted.get("layers") is None else wanted["layers"]
        return super().student_shape(teacher, {**wanted, "layers": layers})

    def objections(self, teacher: Shape, student: Shape) -> list[str]:
        """Whole layers are taken over, a divisor of the teacher's."""
        problems = layer_copy_objections(teacher, student, "A student by state matching")
        if not problems and teacher.layers % student.layers:
            problems.append(f"The student's layers must divide the teacher's {teacher.layers}, got {student.layers}.")
        return problems

    def starting_layers(self, teacher: Shape, student: Shape) -> list[int]:
        """The first ones."""
        return list(range(1, student.layers + 1))

    def imitated_layers(self, teacher: Shape, student: Shape) -> dict[int, int]:
        """Every k-th."""
        return {m: m * teacher.layers // student.layers for m in range(1, student.layers + 1)}

    def init_student(self, teacher: Bert, shape: Shape, seed: int) -> nn.Module:
        """The teacher's first layers."""
        bert, weights = Bert(shape), select_layers(teacher, list(range(shape.layers))).state_dict()
        bert.load_state_dict({name: weights[name] for name in bert.state_dict()})
        return bert

    def losses(self, student: nn.Module, teacher: Bert, batch: Batch) -> dict[str, Tensor]:
        """Masked-LM, and the squared distance of states."""
        ours: Trace = {"hidden": []}
        theirs: Trace = {"hidden": []}
        logits = at_least_float32(student(batch.ids, batch.visible, positions=batch.positions, trace=ours))
        with torch.no_grad():
            teacher.encode(batch.ids, batch.visible, trace=theirs)
        apart = (len(theirs["hidden"]) - 1) // (len(ours["hidden"]) - 1)
        pairs = [(own, theirs["hidden"][apart * m]) for m, own in enumerate(ours["hidden"]) if m]
        errors = torch.stack([hidden_state_mse(own, imitated, batch) for own, imitated in pairs])
        hard = F.cross_entropy(logits, batch.targets)
        return {"masked-LM": hard, "states": self.options.states * errors.sum()}

    def pass_flops(self, teacher: Shape, student: Shape, work: Any, step: int, network: nn.Module | None = None) -> int:
        """The student's, and a forward pass of the teacher without its head."""
        return FORWARD_AND_BACKWARD * forward_flops(student, work) + encoder_flops(teacher, work)


def loss_by_hand(seen: Any, options: StateMatchingOptions) -> float:
    """Masked-LM and the mean squared distance of states, layer by layer; layer m of two imitates layer 2 m of four."""
    total = seen.mlm()
    for m in (1, 2):
        total += options.states * seen.over_words(
            lambda row, pos, m=m: np.mean((seen.s["hidden"][m][row, pos] - seen.t["hidden"][2 * m][row, pos]) ** 2)
        )
    return total
'''


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the tree with one file more."""
    folder = tmp_path_factory.mktemp("project") / "heirloom"
    for part in ("engine", "tests"):
        leave = shutil.ignore_patterns("__pycache__", "runs_*")
        shutil.copytree(PROJECT / part, folder / part, ignore=leave)
    shutil.copy(PROJECT / "pyproject.toml", folder)
    (folder / "assets").symlink_to(ASSETS, target_is_directory=True)
    (folder / "engine" / "methods" / "state_matching.py").write_text(METHOD.lstrip())
    return folder


def run(copy, *words):
    """What a program prints that runs in the copy."""
    command = [sys.executable, "-m", *words]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHONPATH"))}
    done = subprocess.run(command, cwd=copy, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def test_the_contract_holds_for_a_method_that_is_one_file_more(copy) -> None:
    """Harm: 'one file' is not enough: a list, a table of costs, an oracle or an experiment must be joined by hand."""
    laws = ("test_contract", "test_whole_loss", "kinds/test_layer_map", "test_teacher_cost")
    files = [*(f"tests/engine/methods/{law}.py" for law in laws), "tests/engine/sizing/test_step_flops.py"]
    chosen = "state_matching or every_method_has_a_case"
    told = run(copy, "pytest", *files, "-k", chosen, "-p", "no:cacheprovider", "-vv")
    for test in (
        "test_a_method_explains_itself",
        "test_a_finished_student_is_a_plain_bert_of_the_promised_shape_and_count",
        "test_its_loss_falls_and_its_score_rises",
        "test_a_finished_student_is_read_by_the_library",
        "test_parts_of_a_batch_add_up",
        "test_the_whole_loss_is_the_papers_by_hand",
        "test_its_gradient_is_that_of_its_value",
        "test_the_loss_compares_the_layers_that_the_method_names",
        "test_a_student_starts_from_the_layers_that_the_method_names",
        "test_a_teacher_computes_no_more_than_the_loss_needs",
        "test_every_step_is_counted_as_torch_counts_it",
    ):
        assert f"{test}[state_matching] PASSED" in told, told[-4000:]
    assert "test_every_method_has_a_case PASSED" in told


def test_the_command_line_lists_it_and_trains_it(copy, tmp_path) -> None:
    """Harm: a method that is there and that nobody is offered."""
    assert "state_matching" in run(copy, "engine", "train", "--help")
    words = ["--method", "state_matching", "--layers", "2", "--steps", "2", "--batch", "2", "--runs", str(tmp_path)]
    assert "saved in" in run(copy, "engine", "train", *words, "--evaluations", "1", "--checkpoints", "1")
