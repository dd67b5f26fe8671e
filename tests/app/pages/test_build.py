"""The build page: what is chosen there is what is started. Run without a browser, and without a process."""

import shlex

import pytest
from streamlit.testing.v1 import AppTest

from app.session import caches, options_form
from engine.settings.device import Device
from engine.storage.runs import list_runs
from engine.training import job
from engine.training.launch import PROJECT

PAGE = str(PROJECT / "app" / "pages" / "build.py")


@pytest.fixture
def page(monkeypatch, tmp_path):
    """The page on a machine with three GPUs, and its runs in a folder of their own."""
    monkeypatch.setattr(caches, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(caches, "device", lambda: Device("cpu", "three CPUs", False, 3))
    return AppTest.from_file(PAGE, default_timeout=120).run()


def by_label(widgets, label):
    """The widget with that label."""
    return next(widget for widget in widgets if widget.label == label)


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


def test_a_budget_can_be_given_in_other_units(page, monkeypatch):
    """Harm: a budget chosen in the form that the run does not keep to, or a plan that does not say what it takes."""
    started = []
    monkeypatch.setattr(job, "start", lambda root, config, name: started.append(config) or 1 / 0)

    def plan():
        return {it.label: it.value for it in page.metric}

    assert plan()["Steps"] == "500"
    assert {"Tokens", "Work", "Training"} <= set(plan())
    for unit, budget in (("tokens", "1000000 tokens"), ("flops", "5000000000000 flops"), ("seconds", "60 seconds")):
        page.get("button_group")[[it.label for it in page.get("button_group")].index("Budget in")].set_value(unit).run()
        assert not page.exception
        assert (plan()["Steps"] == "–") == (unit == "seconds")  # nobody has timed a run here yet
        by_label(page.button, "Start").click().run()
        assert started.pop()["budget"] == budget


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


def test_what_takes_no_step_does_not_count_them(page):
    """Harm: four boxes of zeros beside the button, as if something were missing."""
    by_label(page.selectbox, "Method").set_value("magnitude").run()
    assert not page.exception
    assert "Steps" not in {tile.label for tile in page.metric}
    assert any("no training step" in caption.value for caption in page.caption)


def test_choices_are_spelt_as_people_spell_them():
    """Harm: "Sop" and "Like bert" on the buttons of a project about BERT."""
    names = ("sop", "ffn", "like BERT", "none", "adamw")
    assert [options_form.choice_label(name) for name in names] == ["SOP", "FFN", "Like BERT", "None", "AdamW"]
