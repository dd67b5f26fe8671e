"""Budgets on the build page: chosen in any unit, and told before the start."""

from engine.training import job
from tests.fixtures.page_reading import by_label


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


def test_what_takes_no_step_does_not_count_them(page):
    """Harm: four boxes of zeros beside the button, as if something were missing."""
    by_label(page.selectbox, "Method").set_value("magnitude").run()
    assert not page.exception
    assert "Steps" not in {tile.label for tile in page.metric}
    assert any("no training step" in caption.value for caption in page.caption)
