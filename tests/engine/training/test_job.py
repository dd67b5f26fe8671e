"""Laws of jobs: a run outlives its starter, ends when asked, takes turns, and never ends without saying why.

The processes are real; only training is a stand-in, picked by the config's method, on a device named by its teacher.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from engine.settings.project import PROJECT
from engine.storage.runs import Run, RunError, create_run, list_runs
from engine.training import job, launch
from tests.fixtures.jobs import kinds, open_gate, until, wait_for


def test_importing_the_run_machinery_loads_no_torch() -> None:
    """Harm: the first page waits ten seconds for a library it does not use."""
    code = "import sys, engine.storage.runs, engine.training.job\n"
    code += "sys.exit('torch' in sys.modules or 'streamlit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT).returncode == 0


def test_a_run_goes_from_queued_to_finished(begin: Callable[..., Run]) -> None:
    """Harm: the page cannot tell a run in line from one at work, or misses its end."""
    run = begin("gate")
    assert run.status() in ("waiting", "running")
    wait_for(run, "running")
    open_gate(run)
    wait_for(run, "finished")
    assert kinds(run) == ["queued", "started", "step", "finished"]
    until(lambda: not run.alive())
    assert job.stop(run) == "finished"
    assert not run.stop_requested()


def test_the_real_command_works_and_explains_a_bad_config(root: Path) -> None:
    """Harm: a mistake in the settings shows as a dead process, its reason buried in a log."""
    run = job.start(root, {"device": "abacus"}, "wid")
    wait_for(run, "failed")
    assert "device must be one of" in (run.error() or "")
    assert "details" not in (run.error() or "")


def test_a_process_that_cannot_start_is_a_failed_run(root: Path) -> None:
    """Harm: a run that never started stays in the list as waiting."""
    with pytest.raises(RunError, match="Could not start a process"):
        job.start(root, {}, "wid", ["/no/such/program"])
    (run,) = list_runs(root)
    assert run.status() == "failed"
    assert "No such file" in (run.error() or "")


def test_a_job_survives_the_exit_of_its_starter(root: Path, command: list[str]) -> None:
    """Harm: restarting the app, or closing the terminal it ran in, throws away hours of training."""
    code = "from pathlib import Path; from engine.training import job\n"
    code += f"job.start(Path({str(root)!r}), {{'method': 'gate'}}, 'x', "
    subprocess.run([sys.executable, "-c", code + f"{command!r})"], cwd=PROJECT, check=True)
    (run,) = list_runs(root)
    wait_for(run, "running")
    pid, _ = run.process() or (0, 0.0)
    assert os.getsid(pid) == pid
    open_gate(run)
    wait_for(run, "finished")


def test_a_running_run_stops_when_asked(begin: Callable[..., Run]) -> None:
    """Harm: the stop button does nothing, or kills the run before it has saved."""
    run = begin("gate")
    wait_for(run, "running")
    assert job.stop(run) == "stopped"
    assert kinds(run)[-1] == "stopped"
    assert "forced" not in run.events()[0][-1]
    assert not run.alive()


def test_sigterm_stops_a_run_as_a_request_does(begin: Callable[..., Run]) -> None:
    """Harm: a shutdown of the machine costs everything since the last checkpoint."""
    run = begin("gate")
    wait_for(run, "running")
    pid, _ = run.process() or (0, 0.0)
    psutil.Process(pid).terminate()
    wait_for(run, "stopped")
    assert "step" in run.events()[0][-1]  # train() had its say


def test_a_deaf_run_is_stopped_by_force_with_all_it_started(begin: Callable[..., Run]) -> None:
    """Harm: a hung run, or a data loader it left behind, holds the device until the machine is restarted."""
    run = begin("deaf")
    until(lambda: "step" in kinds(run))
    first, second = [psutil.Process(pid) for pid in run.events()[0][-1]["loaders"]]
    first.terminate()
    until(lambda: first.status() == psutil.STATUS_ZOMBIE)
    assert not run.stop_requested()  # a loader that ends is no wish to stop
    run.request_stop()
    assert run.status() == "stopping"
    assert job.stop(run, grace_s=0.2) == "stopped"
    assert run.events()[0][-1]["forced"]
    assert not run.alive()
    until(lambda: not second.is_running() or second.status() == psutil.STATUS_ZOMBIE)


def test_force_spares_the_group_a_foreground_run_lives_in(root: Path, command: list[str]) -> None:
    """Harm: stopping a run started from a script kills the script, and this test, too."""
    run = create_run(root, {"method": "deaf"}, "deaf")
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen([*command, str(run.path)], env=environment) as process:
        until(lambda: "step" in kinds(run))
        assert job.stop(run, grace_s=0.1) == "stopped"
        assert process.wait() == -9
        for pid in run.events()[0][-2]["loaders"]:
            psutil.Process(pid).kill()


@pytest.mark.parametrize(
    ("method", "code", "message"),
    [
        ("refuse", 2, "steps must be at least 0, got -1."),
        ("crash", 1, "KeyError: 'weights\\nof layer 3' (details in log.txt)"),
        ("mumble", 1, "RuntimeError: training ended on a 'step' event instead of 'finished' or 'stopped' "),
    ],
)
def test_a_failure_is_told_in_one_sentence(
    root: Path, command: list[str], method: str, code: int, message: str
) -> None:
    """Harm: the page shows a stack trace, or 'failed' without a reason, or the reason is nowhere to be found."""
    run = create_run(root, {"method": method}, method)
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    assert subprocess.run([*command, str(run.path)], env=environment).returncode == code
    assert run.status() == "failed"
    assert (run.error() or "").startswith(message)
    assert "\n" not in (run.error() or "")
    assert "Traceback" in run.log_path.read_text()


def test_the_process_that_fails_speaks_for_all(root: Path, tmp_path: Path, command: list[str]) -> None:
    """Harm: one of eight processes has a reason, and the page shows the complaint of another that it has gone."""
    words = launch.command_for(2)
    torchrun = [*words[: -len(launch.WORKER)], command[-1]]
    run = job.start(root, {"method": "alone", "batch": 2}, "alone", torchrun)
    wait_for(run, "failed")
    until(lambda: not run.alive())
    assert run.error() == "Process 2 of 2: This node has no such corpus."
    assert kinds(run)[0] == "queued"
    assert {"started", "step"} <= set(kinds(run))  # on either side of the failure: the other process goes on meanwhile
    assert "Traceback" in run.log_path.read_text()


@pytest.mark.parametrize("processes", [1, 2, None, "two", True, -3])
def test_as_many_processes_are_started_as_the_config_says(
    processes: object, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Harm: the second GPU idles; or nonsense in a config is a traceback in the page instead of a failed run."""
    started = []
    monkeypatch.setattr(job, "spawn", lambda run, command, processes: started.append((command, processes)))
    wanted = 2 if processes == 2 else 1
    run = job.start(root, {} if processes is None else {"processes": processes}, "x")
    assert started == [(launch.command_for(wanted), wanted)]
    run.append({"kind": "stopped"})
    job.resume(run)
    run.append({"kind": "stopped"})
    job.resume(run, processes=4)
    assert started[1:] == [(launch.command_for(wanted), wanted), (launch.command_for(4), 4)]


def test_a_prepared_run_waits_for_whoever_starts_it(root: Path, command: list[str]) -> None:
    """Harm: a run made for a cluster shows as dead, or its first process takes it for stopped and goes home."""
    run = job.prepare(root, {"method": "finish", "teacher": "toy"}, "x")
    assert run.status() == "stopped"
    run.request_stop()  # an old wish
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    assert subprocess.run([*command, str(run.path)], env=environment).returncode == 0  # by hand
    assert kinds(run) == ["stopped", "queued", "started", "step", "finished"]
    assert not run.stop_requested()


def test_a_stopped_run_resumes_once_and_a_live_one_does_not(
    begin: Callable[..., Run], command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Harm: resume is answered by the old stop request, or two processes write into one folder."""
    run = begin("gate")
    wait_for(run, "running")
    with pytest.raises(RunError, match="still works on run"):
        job.resume(run, command)
    assert job.stop(run) == "stopped"

    meeting = threading.Barrier(2)

    def meet_and_clear(run: Run) -> None:
        with suppress(threading.BrokenBarrierError):
            meeting.wait(0.3)  # a second page that came this far would be here by then
        run.stop_path.unlink(missing_ok=True)

    monkeypatch.setattr(Run, "clear_stop", meet_and_clear)

    def try_resume(_: int) -> bool:
        try:
            job.resume(run, command)
        except RunError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(try_resume, range(6))) == 1
    assert run.status() in ("waiting", "running")
    open_gate(run)
    wait_for(run, "finished")
    assert kinds(run) == ["queued", "started", "step", "stopped", "queued", "started", "step", "finished"]


def test_a_run_can_be_resumed_while_its_process_leaves(begin: Callable[..., Run], command: list[str]) -> None:
    """Harm: whoever presses Resume within a second of the end is told that the run is still at work."""
    run = begin("linger")
    wait_for(run, "finished")
    assert run.alive()
    with ThreadPoolExecutor(1) as pool:
        resumed = pool.submit(job.resume, run, command)
        until(lambda: (run.path.parent / ".locks" / f"start-{run.id}.lock").exists())
        assert kinds(run).count("queued") == 1
        open_gate(run)
        assert resumed.result() == run
    until(lambda: kinds(run).count("finished") == 2)


@pytest.mark.parametrize("arguments", [[], ["absent"]])
def test_a_wrong_folder_is_explained(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Harm: a typo on the command line shows a stack trace."""
    assert job.main(arguments) == 2
    assert "There is no run" in capsys.readouterr().err
