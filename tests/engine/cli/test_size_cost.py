"""python -m engine size --cost: its flags, what it refuses, and what it says."""

import json

import pytest

from engine.__main__ import main
from engine.sizing.footprint import TrainingBatch, flops
from engine.sizing.memory.step import StepPlan, step_memory
from engine.sizing.shape import Shape

SMALL = ["size", "--layers", "2", "--hidden", "64", "--heads", "2"]
SHAPE = Shape(layers=2, hidden=64, heads=2)


def answer(capsys, *more: str) -> dict:
    """What --cost answers as JSON."""
    assert main([*SMALL, "--cost", *more, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["cost"]


def test_both_implementations_stand_side_by_side(capsys) -> None:
    """Harm: memory of a model that nobody trains."""
    rows = answer(capsys, "--batch", "4", "--tokens", "32")["training"]["peaks"]
    names = [(row["implementation"], row.get("attention"), row["device"]) for row in rows]
    both = [("ours", None), ("transformers", "sdpa"), ("transformers", "eager")]
    assert names == [(*one, device) for device in ("gpu", "cpu") for one in both]
    parts = ("weights", "optimizer", "gradients", "activations", "copies", "moment")
    for row in rows:
        assert row["peak"] == sum(row[part] for part in parts)
    plan = StepPlan("transformers", "eager", "cpu")
    assert rows[5]["peak"] == step_memory(SHAPE, TrainingBatch(4, 32), plan).peak
    assert rows[5]["peak_while_output_is_held"] >= rows[5]["peak"]


def test_flags_reach_the_answer(capsys) -> None:
    """Harm: a flag that changes nothing."""
    wanted = ["--optimizer", "sgd", "--checkpointing", "--micro-batches", "2", "--zero", "3", "--devices", "4"]
    wanted += ["--implementation", "transformers", "--attention", "eager", "--dropout", "no", "--precision", "bfloat16"]
    found = answer(capsys, "--batch", "8", "--tokens", "64", *wanted)["training"]
    plan = StepPlan("transformers", "eager", "gpu", "sgd", True, 2, 3, 4, False)
    assert [row["device"] for row in found["peaks"]] == ["gpu", "cpu"]
    assert found["peaks"][0]["peak"] == step_memory(SHAPE, TrainingBatch(8, 64, "bfloat16"), plan).peak
    assert found["peaks"][0]["optimizer"] == 0
    plain = answer(capsys, "--batch", "8", "--tokens", "64")["training"]
    assert found["flops_a_step"] > plain["flops_a_step"]


def test_layers_add_up_and_running_needs_more_than_weights(capsys) -> None:
    """Harm: a layer's FLOPs that are no share of the whole, or a server sized by the weights."""
    cost = answer(capsys, "--no-mlm-head", "--tokens", "16")
    (layer,) = cost["flops_a_layer"]
    assert 2 * sum(layer.values()) == flops(SHAPE.replace(mlm_head=False), 16) == cost["flops"]
    for row in cost["inference"]:
        assert row["beside"] > 0
        assert row["weights"] == 4 * json_parameters(capsys)
    assert {row["sequences"] for row in cost["inference"]} == {1, 32}


def json_parameters(capsys) -> int:
    """The count of the same model."""
    assert main([*SMALL, "--no-mlm-head", "--json"]) == 0
    return json.loads(capsys.readouterr().out)["parameters"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--optimizer", "banana"], "--optimizer must be one of adamw, adamw-8bit"),
        (["--implementation", "banana"], "--implementation must be one of ours, transformers, got 'banana'"),
        (["--attention", "banana"], "--attention must be one of sdpa, eager, got 'banana'"),
        (["--dropout", "maybe"], "--dropout must be one of yes, no, got 'maybe'"),
        (["--zero", "4"], "--zero must be one of 0, 1, 2, 3, got '4'"),
        (["--zero", "2"], "--zero 2 needs --devices 2 or more"),
        (["--devices", "0"], "--devices must be between 1 and 1,000,000, got 0"),
        (["--micro-batches", "0"], "--micro-batches must be between 1 and 32, got 0"),
        (["--micro-batches", "5", "--batch", "4"], "--micro-batches must be between 1 and 4, got 5"),
        (["--zero", "banana"], "--zero: invalid int value"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--cost"], ["--presets"]])
def test_what_is_no_choice_is_refused_whatever_is_asked(wrong, said, more, capsys) -> None:
    """Harm: a slip of the keyboard is ignored where the answer does not need it."""
    if wrong[-1] == "banana" and wrong[0] == "--zero":  # no number: refused where arguments are read
        with pytest.raises(SystemExit, match="2"):
            main([*SMALL, *wrong, *more])
    else:
        assert main([*SMALL, *wrong, *more]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err
    assert told.err.strip().count("\n") == 0


def test_people_are_told_what_is_there_for_a_moment(capsys) -> None:
    """Harm: the page says what is not counted, and the terminal does not."""
    assert main([*SMALL, "--cost", "--optimizer", "adamw-8bit", "--zero", "1", "--devices", "2"]) == 0
    said = capsys.readouterr().out
    for words in ("moment only", "CPU: transformers, eager", "AdamW, 8-bit", "ZeRO stage 1", "a layer:", "not counted"):
        assert words in said
    assert main([*SMALL, "--head-dim", "16", "--cost", "--implementation", "transformers"]) == 0
    assert "transformers' heads fill the hidden width" in capsys.readouterr().out
