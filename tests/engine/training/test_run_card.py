"""What a run says of itself, checked by those who can count it otherwise."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.model.bert import Bert
from engine.teachers import catalog as teachers
from engine.training.plan import plan
from engine.training.run_card import start_event
from tests.fixtures.builders import tiny


@pytest.mark.parametrize("method", ["wid", "scratch"])
def test_multiply_adds_are_those_that_torch_counts(method):
    """Harm: a chart of the work a student saves that counts a head on words nobody asked for."""
    config, length = tiny(method), 20
    planned = plan(config)
    event = start_event(config, planned, teachers.teacher_card("blank").shape, 0, length, 5, 0)
    for who, shape in (("teacher", teachers.teacher_card("blank").shape), ("student", planned.shape)):
        with FlopCounterMode(display=False) as counter:
            ids, hidden = torch.zeros(1, length, dtype=torch.int64), torch.arange(3)  # 15% of 20 words
            Bert(shape)(ids, positions=hidden, trace={"attentions": []})  # traced, every product is one that it knows
        assert event["multiply_adds_per_token"][who] * length == pytest.approx(counter.get_total_flops() / 2)
