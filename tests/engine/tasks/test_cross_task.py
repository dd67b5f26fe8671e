"""A read-out of one pair task on states that another taught."""

import pytest

from engine.settings.device import pick_device
from engine.tasks.cross_task import pair_probe_accuracy
from engine.text.sentence_pairs import open_pairs
from tests.fixtures import builders
from tests.fixtures.builders import tokenizer

pytestmark = pytest.mark.usefixtures("few_held_out")


def test_a_read_out_finds_what_is_there_and_no_more():
    """Harm: the nine numbers of Table 5 measure the read-out's luck.

    A model whose [CLS] says the label must reach 100%, one whose [CLS] is always the same the commonest label's share.
    """
    pairs = open_pairs("microworld", tokenizer(), 32, 256, "sop")
    bert, device = builders.teacher(), pick_device("cpu")
    labels = {}

    class Telling(type(bert)):
        """Writes the label into [CLS], which it knows from `labels`."""

        def encode(self, ids, visible=None, types=None, trace=None):
            hidden = super().encode(ids, visible, types, trace) * 0
            if labels:
                hidden[:, 0, 0] = labels[ids.data_ptr()]
            return hidden

    bert.__class__ = Telling
    held = list(pairs.held_out_batches())
    commonest = max(
        (sum((batch.labels == kind).sum().item() for batch in held) / sum(len(b.labels) for b in held))
        for kind in (0, 1)
    )
    assert pair_probe_accuracy(bert, pairs, device) <= commonest + 1e-9

    original = type(pairs)._paired

    def remembered(self, *arguments):
        batch = original(self, *arguments)
        labels[batch.ids.data_ptr()] = batch.labels.float()
        kept.append(batch)
        return batch

    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(pairs), "_paired", remembered)
        assert pair_probe_accuracy(bert, pairs, device) == 1.0
