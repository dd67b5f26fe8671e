"""Whatever befalls a run: it says what happened, keeps what is good, and started again it makes the same student."""

import errno
import shutil

import pytest
import torch
from safetensors.torch import load_file

from engine.model.saved_models import CheckpointError, load_model
from engine.settings.options import ConfigError
from engine.settings.run_config import RunConfig
from engine.storage import atomic, disk_space
from engine.storage.atomic import write_json
from engine.storage.disk_space import DiskFullError
from engine.training.loop import train
from engine.training.session import TrainingError
from tests.fixtures.builders import finish, new_run, of_kind, tiny

pytestmark = pytest.mark.usefixtures("few_held_out")
# cuts at 4 and 8, folded after 12; checkpoints after 3, 6, ...
CONFIG = tiny("wid", options={"cuts": 2, "closed_by": 0.5}, checkpoints=8, evaluations=1)


def weights(run):
    """The finished student's tensors."""
    return load_file(run.student_dir / "model.safetensors")


def killed_after(root, step, config=CONFIG):
    """A run whose process ended right after the checkpoint of `step`."""
    run = new_run(root, config)
    for event in train(config, run):
        if event == {"kind": "checkpoint", "step": step}:
            return run
    raise AssertionError("it never came")


@pytest.fixture(scope="module")
def half_done(few_held_out, tmp_path_factory):
    """A run that was killed after step 15, with checkpoints of 12 and 15."""
    return killed_after(tmp_path_factory.mktemp("half"), 15)


@pytest.fixture
def run(half_done, tmp_path):
    """A copy of it that a test may spoil."""
    shutil.copytree(half_done.path, tmp_path / half_done.id)
    return type(half_done)(tmp_path / half_done.id)


@pytest.fixture(scope="module")
def undisturbed(few_held_out, tmp_path_factory):
    """The student of the run that nothing befell."""
    whole = new_run(tmp_path_factory.mktemp("whole"), CONFIG)
    finish(CONFIG, whole)
    return weights(whole)


def same_student(run, undisturbed):
    """Whether the run's student is, to the last bit, the one that it should be."""
    found = weights(run)
    return set(found) == set(undisturbed) and all(torch.equal(found[name], undisturbed[name]) for name in found)


def damage(folder, how):
    """Spoils one checkpoint."""
    file = folder / "state.pt"
    data = bytearray(file.read_bytes())
    if how == "one bit":
        data[len(data) // 2] ^= 16
    file.write_bytes(bytes(data[: {"empty": 0, "half": len(data) // 2, "torn": int(0.999 * len(data))}.get(how)]))


@pytest.mark.parametrize("how", ["one bit", "torn", "empty"])
def test_a_damaged_newest_checkpoint_costs_only_the_steps_since_the_one_before(run, undisturbed, how):
    """Harm: a whole checkpoint lies there, and the run is lost; or it goes on from made-up numbers."""
    damage(run.checkpoints_dir / "step-000000015", how)
    events = finish(CONFIG, run)
    (notice,) = of_kind(events, "notice")
    assert "step-000000015 is damaged" in notice["message"]
    assert "goes on from step 12" in notice["message"]
    assert of_kind(events, "start")[0]["step"] == 12
    assert same_student(run, undisturbed)
    assert [path.name for path in run.checkpoints_dir.iterdir()] == ["step-000000024"]  # it is over: one is enough


def test_a_run_without_a_whole_checkpoint_begins_again_and_says_so(run, undisturbed):
    """Harm: a dead end, out of which a person comes only by deleting folders."""
    for place in run.checkpoints_dir.iterdir():
        damage(place, "half")
    events = finish(CONFIG, run)
    (notice,) = of_kind(events, "notice")
    assert "No whole one is left: the run begins at its first step." in notice["message"]
    assert same_student(run, undisturbed)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"student": {**CONFIG.student, "hidden": 64}}, "student was .*hidden 32.* and is .*hidden 64"),
        ({"steps": 14}, "steps are 14 now and 15 are done"),
        ({"corpus": "file:/other.txt"}, "corpus was auto and is file:/other.txt"),
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"options": {**CONFIG.options, "cuts": 3}}, "option cuts was 2 and is 3"),
        ({"method": "scratch", "options": {}}, "method was wid and is scratch"),
    ],
)
def test_a_changed_config_is_refused_with_what_changed(run, undisturbed, change, said, monkeypatch):
    """Harm: half of a student learns from one text and half from another, and its card names the second."""
    from engine.text import sources

    monkeypatch.setattr(sources, "find_source", lambda name: object())
    monkeypatch.setattr("engine.methods.kinds.learning_task.find_source", lambda name: object())
    with pytest.raises(ConfigError, match=f"step 15 was written: .*{said}") as caught:
        finish(RunConfig(**{**CONFIG.to_json(), **change}), run)
    assert "\n" not in str(caught.value)
    assert finish(CONFIG, run)[-1]["kind"] == "finished"
    assert same_student(run, undisturbed)


def test_what_does_not_change_the_student_may_change(run):
    """Harm: a run cannot go on with parts that fit into memory, or be scored more often, or be made longer."""
    config = RunConfig(**{**CONFIG.to_json(), "steps": 30, "accumulate": 2, "evaluations": 3, "checkpoints": 2})
    events = finish(config, run)
    assert events[-1]["card"]["steps_done"] == 30


def test_a_checkpoint_of_before_configs_were_kept_is_held_to_its_sizes(tmp_path):
    """Harm: an old checkpoint with another width is trained on as if nothing were."""
    config = tiny("scratch", steps=8, evaluations=1)
    run = killed_after(tmp_path, 4, config)
    state = run.checkpoints_dir / "step-000000004" / "state.pt"
    told = torch.load(state, weights_only=True)
    torch.save({**told, "config": None}, state)
    (state.parent / "checksums.json").unlink()
    with pytest.raises(CheckpointError, match=r"another size: .* has \(.*32.*\) there and \(.*16.*\) by"):
        finish(RunConfig(**{**config.to_json(), "student": {**config.student, "hidden": 16}}), run)
    assert finish(config, run)[-1]["kind"] == "finished"


def test_rates_that_are_too_high_end_in_a_sentence_and_spoil_no_checkpoint(tmp_path):
    """Harm: "bytes must be in range(0, 256)"; or 70 tensors that are no numbers in the good checkpoint's place."""
    wild = {**CONFIG.options, "lr": 1.0, "compactor_lr": 1.0, "student_lr": 1.0}
    config = RunConfig(**{**CONFIG.to_json(), "options": wild, "steps": 60, "checkpoints": 60})
    run = new_run(tmp_path, config)
    with pytest.raises(TrainingError, match=r"step \d+\. The checkpoint of step \d+ is kept; lower lr \(") as caught:
        finish(config, run)
    assert "\n" not in str(caught.value)
    kept = sorted(int(path.name[5:]) for path in run.checkpoints_dir.iterdir())
    assert len(kept) == 2
    for place in run.checkpoints_dir.iterdir():
        state = torch.load(place / "state.pt", weights_only=True)
        assert all(tensor.isfinite().all() for tensor in state["student"].values())
    with pytest.raises(TrainingError, match="is kept; lower lr"):  # the same again, and not another error
        finish(config, run)


def test_a_lower_rate_is_taken_from_the_config_when_a_run_goes_on(tmp_path):
    """Harm: the advice to lower the rate and go on, and a run that goes on with the old one."""
    config = tiny("scratch", steps=8, evaluations=1)
    run = killed_after(tmp_path, 4, config)
    state = torch.load(run.checkpoints_dir / "step-000000004" / "state.pt", weights_only=True)
    finish(RunConfig(**{**config.to_json(), "options": {"lr": 1e-7}}), run)
    found = weights(run)
    moved = [float((found[name] - before).abs().max()) for name, before in state["student"].items() if name in found]
    assert len(moved) > 5
    assert 0 < max(moved) < 2e-6


def test_a_loss_that_is_no_number_names_its_step_and_the_checkpoint_that_is_kept(run, undisturbed, monkeypatch):
    """Harm: a night of NaN; or the run cannot go on after the cause (a broken GPU, a rate) is gone."""
    from engine.training import step

    real, count = step.backward, [15]

    def broken(*parts):
        losses, count[0] = real(*parts), count[0] + 1
        return {name: value * float("nan") for name, value in losses.items()} if count[0] == 17 else losses

    with monkeypatch.context() as patch:
        patch.setattr(step, "backward", broken)
        with pytest.raises(TrainingError, match=r"no number any more at step 17\. The checkpoint of step 15 is kept"):
            finish(CONFIG, run)
    finish(CONFIG, run)
    assert same_student(run, undisturbed)


@pytest.mark.parametrize("moment", ["before", "meanwhile", "student"])
def test_a_full_disk_is_told_in_bytes_and_the_run_goes_on_when_there_is_room(run, undisturbed, monkeypatch, moment):
    """Harm: torch's internals, or no word at all; a good checkpoint under a half-written one."""
    with monkeypatch.context() as patch:
        if moment == "before":
            patch.setattr(disk_space, "free_bytes", lambda folder: 1_000)
        else:

            def full(draft):
                if moment == "meanwhile" or draft.name == "model.safetensors":
                    raise OSError(errno.ENOSPC, "No space left on device")

            patch.setattr(atomic, "_to_disk", full)
        with pytest.raises(DiskFullError, match=r"needs [\d,]+ bytes.* [\d,]+ are free.*resume") as caught:
            finish(CONFIG, run)
    assert "\n" not in str(caught.value)
    assert not list(run.path.rglob("*.draft"))
    events = finish(CONFIG, run)
    assert not of_kind(events, "notice")
    assert same_student(run, undisturbed)


def test_drafts_of_killed_processes_are_swept_and_nobody_else_s(run, undisturbed):
    """Harm: each kill leaves the bytes of a checkpoint behind, until the disk is full."""
    dead = 2**22 + 1  # no process has such a number
    other = run.path.parent / "another-run"
    other.mkdir()
    drafts = [
        run.checkpoints_dir / f".step-000000018.{dead}-abcd.draft",
        run.path / f".student.{dead}-abcd.draft",
        run.path / f".card.json.{dead}-abcd.draft",
        run.attention_dir / f".step-000000012.npz.{dead}-abcd.draft",
        other / f".card.json.{dead}-abcd.draft",
    ]
    for draft in drafts[:2]:
        draft.mkdir()
        (draft / "state.pt").write_bytes(b"half")
    for draft in drafts[2:]:
        draft.write_bytes(b"half")
    finish(CONFIG, run)
    assert [draft.exists() for draft in drafts] == [False, False, False, False, True]
    assert same_student(run, undisturbed)


def test_a_damaged_student_is_refused_by_name_and_made_anew(run, undisturbed):
    """Harm: 148 of 150 bits on a disk give another student, without a word."""
    finish(CONFIG, run)
    weights_file = run.student_dir / "model.safetensors"
    data = bytearray(weights_file.read_bytes())
    data[len(data) // 2] ^= 1
    weights_file.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match=r"model\.safetensors has changed .*train --resume") as caught:
        load_model(run.student_dir)
    assert run.id in str(caught.value)
    finish(CONFIG, run)  # nothing is left to train: it is folded and saved once more
    assert same_student(run, undisturbed)
    load_model(run.student_dir)


def test_a_clock_that_jumps_changes_nothing(run, undisturbed, monkeypatch):
    """Harm: a laptop that wakes up, or a server that is set right, and the run is another one."""
    import time

    now = [time.time()]

    def jumping():
        now[0] += 86_400 * (-400 if int(now[0]) % 2 else 365) + 1
        return now[0]

    monkeypatch.setattr(time, "time", jumping)
    for event in train(CONFIG, run):
        run.append(event)
    assert run.status() == "finished"
    assert same_student(run, undisturbed)


def test_a_changed_budget_file_is_made_anew(run, undisturbed):
    """Harm: a torn budget.json, which anyone could write again, ends the run for ever."""
    run.budget_path.write_text('{"steps": 24, "tok')
    finish(CONFIG, run)
    assert same_student(run, undisturbed)
    write_json(run.budget_path, {"steps": "many"})
    finish(CONFIG, run)
    assert same_student(run, undisturbed)
