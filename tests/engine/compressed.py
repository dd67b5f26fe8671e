"""What tests of one-shot compressions share: who they are, uneven shapes, finished students."""

import torch

from engine.methods import METHODS
from tests.engine.builders import masked_batch

ONE_SHOT = [name for name, kind in METHODS.items() if kind.one_shot]
UNEVEN = {"heads": 4, "layer_heads": (1, 4), "ffn": 24, "layer_ffn": (24, 5)}


def logits(model, batch=None):
    """(batch, pos, vocab) of the visible positions only."""
    batch = batch or masked_batch()
    with torch.no_grad():
        return model(batch.ids, batch.visible)[batch.visible]


def student_of(name, guide, steps=0, **options):
    """The finished student of a one-shot method, with its method and shape."""
    kind = METHODS[name]
    method = kind(kind.Options(**options), steps)
    shape = method.student_shape(guide.shape, {})
    student = method.prepare(guide, shape, 0).requires_grad_(True)
    student = method.calibrate(student, [masked_batch(seed=seed) for seed in range(2)])
    return method, method.settled(student, shape), method.finish(student).eval()
