"""The build page: what is chosen there is what is started. Run without a browser, and without a process."""

import shlex

import pytest

from app.session import caches
from engine.storage.runs import list_runs
from engine.training import job
from tests.fixtures.build_page import opened
from tests.fixtures.page_reading import by_label


@pytest.fixture
def page(monkeypatch, tmp_path):
    """The page on a machine that is good for three processes."""
    return opened(monkeypatch, tmp_path)


def test_processes_are_offered_up_to_what_the_machine_has(page, monkeypatch):
    """Harm: eight processes on two GPUs; or a second GPU that the page does not offer."""
    started = []
    monkeypatch.setattr(job, "start", lambda root, config, name: started.append(config) or 1 / 0)
    processes = by_label(page.number_input, "Processes")
    assert (processes.min, processes.max, processes.value) == (1, 3, 1)
    processes.set_value(2)
    by_label(page.number_input, "Micro-batches").set_value(4)
    by_label(page.run().button, "Start").click().run()
    assert [(config["processes"], config["accumulate"]) for config in started] == [(2, 4)]


def test_a_batch_that_cannot_be_shared_is_refused(page):
    """Harm: a run that fails a minute after its start, for a reason that the page knew."""
    by_label(page.number_input, "Batch").set_value(2)
    by_label(page.number_input, "Processes").set_value(3)
    page.run()
    assert "at most the batch of 2" in page.error[0].value
    assert by_label(page.button, "Start").disabled
    assert by_label(page.button, "Prepare").disabled


def test_a_cluster_gets_the_exact_command_for_a_run_that_is_there(page):
    """Harm: a command with a gap that everybody fills in differently."""
    assert not page.code
    by_label(page.number_input, "Steps").set_value(7)
    by_label(page.number_input, "Machines").set_value(4)
    by_label(page.number_input, "Processes on each").set_value(8)
    by_label(page.text_input, "First machine").set_value("node-1")
    by_label(page.run().button, "Prepare").click().run()
    (run,) = list_runs(caches.RUNS)
    assert run.config()["steps"] == 7
    assert run.status() == "stopped"
    words = shlex.split(page.code[0].value)
    assert {"--nnodes=4", "--nproc-per-node=8", "--rdzv-endpoint=node-1:29400"} <= set(words)
    assert words[-2:] == ["engine.training.job", str(run.path)]
    by_label(page.number_input, "Machines").set_value(5).run()
    assert "--nnodes=5" in page.code[0].value  # of the same run
    assert len(list_runs(caches.RUNS)) == 1
    assert not page.exception


def test_a_one_shot_method_asks_for_what_it_has_and_may_take_no_step(page, monkeypatch):
    """Harm: a compression that takes no step cannot be started from the form, or asks for a width it ignores."""
    started = []
    monkeypatch.setattr(job, "start", lambda root, config, name: started.append(config) or 1 / 0)
    by_label(page.number_input, "Processes").set_value(3)
    page.selectbox(key="build_method").set_value("head_pruning").run()
    assert not page.exception
    labels = {widget.label for widget in (*page.slider, *page.number_input)}
    assert {"Share that leaves", "Batches to look at", "Healing steps"} <= labels
    assert not {"Width", "Layers", "Heads", "Steps"} & labels
    assert by_label(page.number_input, "Processes").disabled
    assert "starts from the teacher's shape" in " ".join(caption.value for caption in page.caption)
    by_label(page.button, "Start").click().run()
    by_label(page.number_input, "Healing steps").set_value(7)
    by_label(page.run().number_input, "Processes").set_value(3)
    by_label(page.button, "Start").click().run()
    first, second = started
    assert (first["method"], first["steps"], first["processes"], first["student"]) == ("head_pruning", 0, 1, {})
    assert (second["steps"], second["processes"]) == (7, 3)


def test_int8_says_its_bytes_and_claims_no_fewer_parameters(page):
    """Harm: "1.00x smaller", and nothing of what really becomes smaller."""
    page.selectbox(key="build_method").set_value("int8").run()
    assert not page.exception
    assert page.metric[0].delta == "as many as the teacher"
    assert "bytes instead of" in " ".join(caption.value for caption in page.caption)
