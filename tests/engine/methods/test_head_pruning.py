"""Head pruning as a run."""

import torch
from safetensors.torch import load_file

from engine.sizing.shape import Shape
from tests.fixtures.builders import finish, new_run, tiny


def test_a_healed_run_goes_on_where_it_stopped(few_held_out, tmp_path):
    """Harm: after a resume other heads are gone than before, or weights meet the wrong heads."""
    config = tiny("head_pruning", steps=6, options={"share": 0.5, "batches": 2}, checkpoints=1, evaluations=1)
    whole, run = new_run(tmp_path, config), new_run(tmp_path, config)
    finish(config, whole)
    from engine.training.loop import train

    for event in train(config, run):
        if event["kind"] == "step" and event["step"] == 2:
            run.request_stop()
    run.clear_stop()
    finish(config, run)
    one, two = (load_file(each.student_dir / "model.safetensors") for each in (whole, run))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    kept = load_file(run.student_dir / "lineage.safetensors")
    layers = Shape.from_json(run.card()["shape"])
    assert [len(kept[f"kept.attention.{i}"]) for i in range(4)] == [layers.heads_of(i) for i in range(4)]
