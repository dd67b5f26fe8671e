"""Short runs of WID by hand, for the tests of WID."""

from engine.config import read_options
from engine.methods.base import masked_lm
from engine.methods.wid import Wid, WidOptions
from tests.engine.builders import masked_batch, teacher

CASES = {  # (teacher's sizes, student's sizes, options)
    "dim": ({}, {"hidden": 8, "heads": 4, "ffn": 12}, {"strategy": "dim"}),
    "head": ({}, {"hidden": 8, "heads": 2, "head_dim": 4, "ffn": 12}, {"strategy": "head"}),
    "head, hidden untouched": ({}, {"heads": 1, "head_dim": 4, "ffn": 24}, {"strategy": "head"}),
    "inner is not hidden": ({"head_dim": 6}, {"hidden": 12, "head_dim": 5, "heads": 4, "ffn": 20}, {"strategy": "dim"}),
    "FFN only": ({}, {"ffn": 7}, {"strategy": "dim"}),
    "fewer layers": ({"layers": 3}, {"layers": 2, "hidden": 8, "heads": 4, "ffn": 10}, {"layers_from": "last"}),
    "one step a cut": ({}, {"hidden": 4, "heads": 4, "ffn": 5}, {"cuts": 16}),
    "reference": ({}, {"hidden": 8, "heads": 4, "ffn": 12}, {"ranking": "reference"}),
}


RELEASE = {"rule": "release", "ranking": "reference", "closing": "penalty", "interval": 5, "compactor_lr": 0.01}


class Lesson:
    """A short run of WID by hand: the training loop's own steps, one at a time."""

    def __init__(self, sizes, wanted, options, steps=40):
        self.bert = teacher(**sizes)
        self.method = Wid(read_options(WidOptions, {"cuts": 4, "lr": 1e-2, "compactor_lr": 1e-2, **options}), steps)
        self.shape = self.method.student_shape(self.bert.shape, wanted)
        self.heir = self.method.prepare(self.bert, self.shape, seed=0)
        self.schedule = self.method.schedule(self.bert.shape, self.shape)
        self.interval = self.method.interval(self.schedule)
        self.optimizer = self.method.optimizer(self.heir)
        self.steps, self.done = steps, 0

    def step(self):
        """One step; the numbers that the method reports."""
        self.done += 1
        self.optimizer.zero_grad()
        masked_lm(self.heir, masked_batch(seed=self.done)).backward()
        numbers = self.method.after_backward(self.heir, self.optimizer, self.done)
        self.optimizer.step()
        return numbers

    def run(self):
        """The rest of the steps."""
        while self.done < self.steps:
            self.step()
        return self


def logits(model):
    """The model's logits on a batch it has not trained on."""
    batch = masked_batch(seed=99)
    return model(batch.ids, batch.visible)[batch.visible].detach()
