"""Picture events: what can be read is read right, what cannot is left out."""

import numpy as np
import pandas as pd
import pytest
import torch

from app.watch.compactor_norms import CompactorNorms, group_table, kept_shares, read_compactor_norms
from tests.fixtures.pictured_run import group, packed, picture


def one(**changes) -> CompactorNorms | None:
    """The picture of an event whose only group has `changes`."""
    event = {**picture(0), "groups": [group("residual", 0.5, **changes)]}
    return next(iter(read_compactor_norms([event])), None)


def test_groups_stand_in_the_order_of_the_network_and_count_from_one() -> None:
    """Harm: the strip called layer 1 is layer 2, or FFN stands where attention is looked for."""
    event = picture(0)
    names = ["transform", "ffn 10", "ffn 2", "attention 10", "attention 2", "residual"]
    event["groups"] = [group(name, 0) for name in names]
    (read,) = read_compactor_norms([event])
    expected = ["residual", "layer 3 attention", "layer 3 FFN", "layer 11 attention", "layer 11 FFN", "transform"]
    assert [it.label for it in read.groups] == expected


def test_norms_keep_their_places_and_values() -> None:
    """Harm: the wrong dims are shown as closed."""
    norms = np.array([0, 0.004, 0.5, 1, 1.27, 2.55, 9, 1])
    read = one(norms=packed(norms))
    assert read.groups[0].norms.tolist() == [0, 0, 50, 100, 127, 255, 255, 100]


@pytest.mark.parametrize(("full", "bins"), [(8, 8), (3072, 768), (2064, 768), (1000, 768)])
def test_bins_say_which_dims_they_hold(full, bins) -> None:
    """Harm: pointing at a wide group names dims that are elsewhere. The oracle is torch, which made the bins."""
    bounds = one(full=full, norms=packed(np.ones(bins))).groups[0].bounds()
    pooled = torch.nn.functional.adaptive_avg_pool1d(torch.eye(full), bins) > 0  # (dim, bin)
    dims = torch.arange(1, full + 1)[:, None]
    first, last = torch.from_numpy(bounds).T
    assert ((dims >= first) & (dims <= last)).equal(pooled)


@pytest.mark.parametrize(
    "changes",
    [
        {"norms": "not base64!"},
        {"norms": ""},
        {"norms": None},
        {"norms": packed(np.ones(9))},  # more than there are dims
        {"full": 0},
        {"full": -8},
        {"full": "8"},
        {"kept": 9},
        {"present": True},
        {"goal": float("nan")},
    ],
)
def test_a_group_that_makes_no_sense_is_left_out(changes) -> None:
    """Harm: one damaged line in a run's folder takes the whole page down."""
    event = {**picture(0), "groups": [group("residual", 0, **changes), group("transform", 0)]}
    (read,) = read_compactor_norms([event])
    assert [it.label for it in read.groups] == ["transform"]


@pytest.mark.parametrize("field", ["step", "groups"])
@pytest.mark.parametrize("value", [None, -1, "many", [None], {"a": 1}])
def test_a_picture_that_makes_no_sense_is_left_out(field, value) -> None:
    """Harm: the same, one level up."""
    assert read_compactor_norms([{**picture(0), field: value}]) == []
    missing = picture(0)
    del missing[field]
    assert read_compactor_norms([missing, {"kind": "step"}, picture(5)])[0].step == 5


@pytest.mark.parametrize("value", [None, "x", -1, 0, float("inf"), float("nan"), True])
def test_multiply_adds_may_be_missing(value) -> None:
    """Harm: a method that does not count them cannot be watched."""
    (read,) = read_compactor_norms([{**picture(0), "multiply_adds_per_token": value}])
    assert read.multiply_adds is None


def test_what_was_done_twice_counts_once() -> None:
    """Harm: after a resume the film jumps back, and its slider names a step twice."""
    redone = picture(10)
    redone["multiply_adds_per_token"] = 7
    read = read_compactor_norms([picture(0), picture(10), picture(20), redone])
    assert [it.step for it in read] == [0, 10, 20]
    assert read[1].multiply_adds == 7


def test_kinds_that_close_together_share_a_line() -> None:
    """Harm: of four lines on top of one another three are invisible, and nobody knows that they are there."""
    frame, goals = kept_shares(read_compactor_norms([picture(step) for step in (0, 10, 20)]))
    pd.testing.assert_frame_equal(frame, pd.DataFrame({"all groups": [100.0, 75.0, 50.0]}, index=[0, 10, 20]))
    assert goals.to_dict() == {"all groups": 50.0}


def test_kinds_that_differ_by_rounding_share_a_line() -> None:
    """Harm: heads that cannot close a third of a dim split one line into four that hide one another."""
    event = picture(10)
    event["groups"] = [group("residual", 0, full=128, kept=101), group("ffn 0", 0, full=512, kept=400)]
    frame, _ = kept_shares(
        read_compactor_norms([event | {"groups": [it | {"goal": it["full"] // 2} for it in event["groups"]]}])
    )
    assert frame["all groups"].tolist() == [pytest.approx((100 * 101 / 128 + 100 * 400 / 512) / 2)]


def test_a_kind_that_closes_otherwise_has_a_line_of_its_own() -> None:
    """Harm: a group that lags behind is drawn as if it kept up."""
    last = picture(20)
    last["groups"][2] |= {"kept": 12}  # ffn 0; ffn 1 keeps 8
    frame, goals = kept_shares(read_compactor_norms([picture(0), last]))
    assert list(frame.columns) == ["residual, attention, transform", "FFN"]
    assert frame["FFN"].tolist() == [100.0, 62.5]
    assert set(goals) == {50.0}


def test_the_table_says_what_the_picture_shows() -> None:
    """Harm: those who read rather than look are told something else."""
    (read,) = read_compactor_norms([picture(10)])
    row = group_table(read).set_index("group").loc["layer 1 FFN"]
    assert row.to_dict() == {"teacher's dims": 16, "in the matrices": 12, "kept": 12, "goal": 8, "mean norm": 0.75}
