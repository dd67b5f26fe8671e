"""Tasks of the Hub, which is a stand-in here: read as they are published."""

import pytest

from engine.tasks import hub
from engine.tasks.catalog import TASKS
from engine.tasks.hub import GLUE_TASKS, SQUAD
from engine.tasks.labelled import TaskError


def test_the_hubs_tasks_ask_for_what_they_need(monkeypatch):
    """Harm: minutes of retries, or a ModuleNotFoundError."""
    with pytest.raises(TaskError, match="pip install datasets"):
        TASKS["glue-cola"].load()
    monkeypatch.setattr(hub.importlib.util, "find_spec", lambda name: name)
    with pytest.raises(TaskError, match="no network"):
        TASKS["squad"].load()


@pytest.fixture
def stored_hub(monkeypatch):
    """A Hub with a little of GLUE and SQuAD, as `datasets` gives it."""
    import sys
    import types

    def load_dataset(name, config, split):
        if name == SQUAD:
            answers = {"text": ["in Rome", "Rome"], "answer_start": [10, 13]}
            row = {"question": "Where?", "context": "She lived in Rome.", "answers": answers}
            return [row] * (40 if split == "train" else 5)
        columns = GLUE_TASKS[config][1]
        count = 60 if split == "train" else 12
        made = [
            {**{column: f"{column} {split} {i}" for column in columns}, "label": i % 2, "idx": i} for i in range(count)
        ]
        assert split in ("train", GLUE_TASKS[config][4])
        return [*made, {**made[0], "label": -1}]

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    monkeypatch.setattr(hub.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(hub, "reachable", lambda url: True)


@pytest.mark.usefixtures("stored_hub")
@pytest.mark.parametrize("name", [name for name in TASKS if name.startswith("glue-")])
def test_glue_is_read_as_it_is_published(name):
    """Harm: a test set without labels scores everybody at zero, or a pair loses its second half."""
    task, splits = TASKS[name], TASKS[name].load()
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (54, 6, 12)
    pair = len(GLUE_TASKS[name.removeprefix("glue-")][1]) == 2
    assert bool(splits.test[0].second) == pair
    assert isinstance(splits.test[0].label, int if task.classes else float)
    assert set(task.baseline(splits)) == set(task.metrics)


@pytest.mark.usefixtures("stored_hub")
def test_squad_is_read_as_it_is_published():
    """Harm: an answer that lies beside its place in the text."""
    task, splits = TASKS["squad"], TASKS["squad"].load()
    example = splits.test[0]
    assert example.second[slice(*example.label)] == "in Rome"
    assert example.answers == ("in Rome", "Rome")
    assert task.score(["rome", "in rome", "x", "", "Rome"], splits.test)["exact match"] == pytest.approx(0.6)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (36, 4, 5)
