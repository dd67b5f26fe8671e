"""What a run says when the disk, the memory or another process gets in its way, and that it can go on afterwards."""

import errno
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.__main__ import main, parse
from engine.cli.train import _resumed
from engine.settings.options import ConfigError
from engine.settings.project import PROJECT
from engine.settings.run_config import RunConfig
from engine.storage import atomic
from engine.storage.runs import Run, RunError, create_run
from engine.training import job, step
from tests.fixtures.builders import new_run, tiny
from tests.fixtures.jobs import WORKER, kinds, open_gate, until

CONFIG = tiny("scratch", steps=8, checkpoints=4, evaluations=1)


def students(run: Run) -> dict[str, torch.Tensor]:
    """The finished student's tensors."""
    return load_file(run.student_dir / "model.safetensors")


@pytest.fixture(scope="module")
def undisturbed(few_held_out, tmp_path_factory):
    """The student of the run that nothing befell."""
    run = new_run(tmp_path_factory.mktemp("whole"), CONFIG)
    assert [*job.perform(run)][-1]["kind"] == "finished"
    return students(run)


def goes_on(run: Run, undisturbed: dict[str, torch.Tensor]) -> None:
    """The run is resumed and makes the same student as if nothing had been."""
    assert job.can_resume(run)
    job.take_up(run)
    events = list(job.perform(run))
    assert events[-1]["kind"] == "finished"
    assert all(torch.equal(tensor, undisturbed[name]) for name, tensor in students(run).items())


def fails_at(step_number: int, error: Exception, monkeypatch) -> None:
    """The training step of that number raises `error`."""
    real, count = step.backward, [0]

    def backward(*parts):
        count[0] += 1
        if count[0] == step_number:
            raise error
        return real(*parts)

    monkeypatch.setattr(step, "backward", backward)


ALLOCATOR = (
    "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 B"
)


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), RuntimeError(ALLOCATOR)],
)
def test_out_of_memory_is_an_event_with_advice_and_the_run_goes_on(tmp_path, undisturbed, monkeypatch, error):
    """Harm: 40 lines of an allocator's statistics; and a person who starts a night's run again from its first step."""
    run = new_run(tmp_path, CONFIG)
    with monkeypatch.context() as patch:
        fails_at(6, error, patch)
        with pytest.raises(RunError, match="Out of memory"):
            list(job.perform(run))
    assert run.status() == "failed"
    told, failed = run.events()[0][-2:]
    assert (told["kind"], told["batch"], told["accumulate"]) == ("out_of_memory", 4, 1)
    assert failed["message"] == told["message"] == run.error()
    assert "after step 5 with batches of 4 in 1 part" in run.error()
    assert f"train --resume {run.id} --accumulate 2" in run.error()
    assert "Traceback" in run.log_path.read_text()
    goes_on(run, undisturbed)


def test_the_advice_can_be_followed(tmp_path, monkeypatch, few_held_out):
    """Harm: a sentence that names a flag which is ignored."""
    run = new_run(tmp_path, CONFIG)
    with monkeypatch.context() as patch:
        fails_at(6, MemoryError(), patch)
        with pytest.raises(RunError):
            list(job.perform(run))
    words = ["train", "--resume", run.id, "--runs", str(tmp_path), "--accumulate", "2", "--option", "lr=0.0002"]
    before = run.config_path.stat().st_mtime_ns
    _resumed(parse(words))
    config = RunConfig.from_json(run.config())
    assert (config.accumulate, config.options["lr"]) == (2, 0.0002)
    assert run.config_path.stat().st_mtime_ns == before  # runs are listed by it
    assert [*job.perform(run)][-1]["kind"] == "finished"
    assert main([*words[:-4], "--accumulate", "9"]) == 2  # more parts than rows


def test_a_full_disk_is_a_failed_run_with_one_sentence_and_goes_on(tmp_path, undisturbed, monkeypatch):
    """Harm: "PytorchStreamWriter failed writing file", or a run that says nothing and a page without Resume."""
    run = new_run(tmp_path, CONFIG)
    saves = [0]

    def full(draft):
        saves[0] += draft.name == "state.pt"
        if saves[0] == 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "_to_disk", full)
        with pytest.raises(ValueError, match="No space left"):
            list(job.perform(run))
    assert run.status() == "failed"
    assert "The checkpoint of step 6 could not be written: No space left on device; it needs" in run.error()
    assert "bytes and " in run.error()
    assert "log.txt" not in run.error()
    assert sorted(path.name for path in run.checkpoints_dir.iterdir()) == ["step-000000002", "step-000000004"]
    goes_on(run, undisturbed)


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="no limit on a file's size here")
def test_a_real_limit_on_the_size_of_files_is_told_and_passes(tmp_path, undisturbed):
    """Harm: the sentence is right for the error that a test raises, and wrong for the one that the system does."""
    run = new_run(tmp_path, CONFIG)
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        "import torch; torch.set_num_threads(1)\n"
        "from engine.text import corpora; from engine.tasks import catalog; corpora.HELD_OUT_ROWS = 32\n"
        "from engine.training import job; sys.exit(job.main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run.path)], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert run.status() == "failed"
    assert "The checkpoint of step 2 could not be written: File too large; it needs" in run.error()
    assert not list(run.path.rglob("*.draft"))
    job.take_up(run)
    assert [*job.perform(run)][-1]["kind"] == "finished"
    assert all(torch.equal(tensor, undisturbed[name]) for name, tensor in students(run).items())


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, undisturbed, monkeypatch):
    """Harm: a traceback on the page; or a run that shows as working although nobody can."""
    run = new_run(tmp_path, CONFIG)
    run.append({"kind": "stopped"})
    writable = os.access
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: Path(path) != run.path and writable(path, mode))
        for work in (job.resume, job.take_up, lambda it: list(job.perform(it))):
            with pytest.raises(RunError, match=f"The folder of run '{run.id}' cannot be written"):
                work(run)
        assert main(["train", "--resume", run.id, "--runs", str(tmp_path)]) == 2
    assert kinds(run) == ["stopped"]
    goes_on(run, undisturbed)


def test_of_two_that_resume_at_one_instant_one_works_and_the_other_is_told(tmp_path, monkeypatch):
    """Harm: two processes write into one run, and its student is a mixture."""
    (tmp_path / "worker.py").write_text(WORKER)
    command = [sys.executable, str(tmp_path / "worker.py")]
    run = create_run(tmp_path / "runs", {"method": "gate", "teacher": "toy"}, "gate")
    run.append({"kind": "stopped"})
    told: list[object] = []
    gate = threading.Barrier(8)

    def resume(_):
        gate.wait()
        try:
            job.resume(run, command)
            return "works"
        except RunError as error:
            return str(error)

    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(resume, range(8)))
    assert told.count("works") == 1
    assert all("still works on run" in said or "being started elsewhere" in said for said in told if said != "works")
    until(lambda: run.status() == "running")
    process = subprocess.run(
        [*command, str(run.path)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )  # by hand, past every check before it
    assert process.returncode == 2
    assert "Another process works on run" in process.stderr
    assert run.status() == "running"  # the one that works is none the worse
    open_gate(run)
    until(lambda: run.status() == "finished")
    assert kinds(run).count("started") == 1


def test_a_run_of_a_later_version_is_not_taken_up(tmp_path):
    """Harm: an older program appends to what it cannot understand."""
    run = create_run(tmp_path, CONFIG.to_json(), "x")
    run.append({"kind": "started", "format": 2})
    run.append({"kind": "stopped"})
    with pytest.raises(RunError, match="written by a newer version of Heirloom"):
        job.take_up(run)
    assert kinds(run) == ["started", "stopped"]


def test_only_what_can_go_on_is_offered_to_go_on(tmp_path, few_held_out):
    """Harm: a dead end for a failed run with good checkpoints; or a button that only fails again."""
    run = new_run(tmp_path, CONFIG)
    list(job.perform(run))
    assert not job.can_resume(run)
    (run.student_dir / "model.safetensors").write_bytes(b"")
    assert job.can_resume(run)  # its checkpoint makes the student anew
    run.append({"kind": "failed", "message": "x"})
    assert job.can_resume(run)
    for state in run.checkpoints_dir.glob("*/state.pt"):
        state.write_bytes(state.read_bytes()[:-1])
    assert not job.can_resume(run)
    run.append({"kind": "stopped"})
    assert job.can_resume(run)
    with pytest.raises(ConfigError):
        job.take_up(run, {"batch": 0})
    assert RunConfig.from_json(run.config()) == CONFIG


def test_ctrl_c_and_sigterm_save_and_the_run_goes_on(tmp_path, undisturbed, monkeypatch):
    """Harm: a closed terminal or a shutdown costs what was learned since the last checkpoint, or all of it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        run = new_run(tmp_path, CONFIG)
        before = signal.getsignal(number)
        job.stop_on(run, number)
        try:
            for event in job.perform(run):
                if event["kind"] == "step" and event["step"] == 4:
                    os.kill(os.getpid(), number)
        finally:
            signal.signal(number, before)
        assert run.status() == "stopped"
        assert run.events()[0][-1]["step"] == 5
        run.clear_stop()
        goes_on(run, undisturbed)


def test_a_disk_without_room_for_a_line_still_hears_why(tmp_path, undisturbed, monkeypatch):
    """Harm: the run ends without a word, for the word is what does not fit."""
    run = new_run(tmp_path, CONFIG)
    append = Run.append

    def full(self, event):
        if self.reserve_path.exists() and event["kind"] == "step" and event["step"] == 5:
            raise RunError("Could not write an event.") from OSError(errno.ENOSPC, "No space left on device")
        assert event["kind"] != "failed" or not self.reserve_path.exists()  # its bytes are free by then
        return append(self, event)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "append", full)
        with pytest.raises(RunError, match="The disk is full"):
            list(job.perform(run))
    assert run.status() == "failed"
    assert "The disk is full (No space left on device, " in run.error()
    assert " bytes are free); free some space and resume" in run.error()
    goes_on(run, undisturbed)
    assert not run.reserve_path.exists()
