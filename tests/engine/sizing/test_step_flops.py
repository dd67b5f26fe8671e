"""FLOPs of training steps: what the cost model says, against what torch counts while each method trains."""

import functools

import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from engine.methods.base import step_flops
from engine.methods.kinds.calibrated import calibrated, calibration_batches, shape_after
from engine.methods.kinds.shape_changing import ShapeChanging, cost_phases
from engine.methods.registry import METHODS
from engine.settings.options import parse_options
from engine.sizing.step_flops import BatchShape
from engine.text.masking import Masking
from engine.text.sentence_pairs import open_text
from engine.training.step import trainable
from tests.fixtures.builders import CPU, teacher, tokenizer, wanted_of

pytestmark = pytest.mark.usefixtures("few_held_out")
STEPS = 9  # of WID: it closes in one cut, at step 2, and is folded after step 4
RELEASE = 18  # steps that the release's rule takes at least
VARIANTS = {
    **{name: (name, {}) for name in METHODS},
    "scratch muon": ("scratch", {"optimizer": "muon"}),
    "soft targets muon": ("soft_targets", {"optimizer": "muon"}),
    "wid head": ("wid", {"strategy": "head"}),
    "wid kept": ("wid", {"after_closing": "kept"}),
    "wid release": ("wid", {"rule": "release", "after_closing": "kept"}),
    "wid penalty": ("wid", {"closing": "penalty", "after_closing": "kept"}),
    "tinybert paper": ("tinybert", {"hard": 0.0}),
    "minilm paper": ("minilm", {"hard": 0.0}),
    "minilmv2 paper": ("minilmv2", {"hard": 0.0, "teacher_layer": 1}),
    "albert distilled": ("albert", {"soft": 0.5, "pairs": "none", "sharing": "none"}),
    "albert nsp": ("albert", {"pairs": "nsp", "sharing": "ffn"}),
    "adapt words": ("adapt", {"rank": 3, "word_rank": 2, "attention": True}),
    "adapt alone": ("adapt", {"anchor": 0.0}),
}


@functools.cache
def text_of(pairs):
    """A little of the microworld."""
    return open_text("microworld", tokenizer(), 24, 200, pairs)


@pytest.mark.parametrize(("name", "options"), VARIANTS.values(), ids=VARIANTS)
def test_every_step_is_counted_as_torch_counts_it(name, options) -> None:
    """Harm: a budget in FLOPs, or a curve over them, that favours a method whose work nobody counted."""
    kind, big = METHODS[name], teacher(hidden=32, heads=4, ffn=64)
    steps = RELEASE if options.get("rule") == "release" else STEPS if name == "wid" else 2
    method = kind(parse_options(kind.Options, options), steps)
    wanted = {"hidden": 16, "heads": 2, "ffn": 32} if options.get("strategy") == "head" else wanted_of(kind)
    shape = method.student_shape(big.shape, wanted)
    student = trainable(method.init_student(big, shape, 0), CPU)
    big.requires_grad_(False)
    guide, text = big, text_of(method.task.pairs)
    if method.task.classes:
        whole = big.shape.replace(pooler=True, mlm_head=False, tied=True)
        guide, text = (
            method.init_student(big, whole, 0),
            method.task.open_data("microworld", tokenizer(), 24, 200, Masking()),
        )
    looks = (text.batch(look, 6, 0) for look in range(calibration_batches(method)))
    student = trainable(calibrated(method, student, looks), CPU)
    shape, optimizer = shape_after(method, student, shape), method.optimizer(student)
    counted, found, known = [], [], []
    for step in range(1, steps + 1):
        parts = text.batch(step, 6, 0).split(2)
        looked_at = [BatchShape(*part.ids.shape, len(part.targets)) for part in parts]
        found.append(step_flops(method, big.shape, shape, looked_at, step, student))
        known.append(step_flops(method, big.shape, shape, looked_at, step))
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            for part in parts:
                sum(method.losses(student, guide, part).values()).backward()
            method.after_backward(student, optimizer, step)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if isinstance(method, ShapeChanging):
                student, optimizer = method.next_form(student, optimizer)
        counted.append(counter.get_total_flops())
    assert found == counted
    if options.get("closing") != "penalty":  # whose course is not known beforehand
        assert known == counted
        equal = [1, *(step for step in range(2, steps + 1) if _phase(method, big, shape, step))]
        assert set(equal) <= set(cost_phases(method, big.shape, shape))


def _phase(method, big, shape, step):
    """Whether `step` costs something else than the one before it."""
    one, other = (step_flops(method, big.shape, shape, [BatchShape(8, 16, 20)], at) for at in (step - 1, step))
    return one != other
