"""What earlier runs tell of the next."""

from engine.settings.run_config import RunConfig
from engine.storage.runs import create_run
from engine.training.past_runs import past_runs_like


def test_experience_passes_over_what_says_nothing(tmp_path) -> None:
    """Harm: one damaged card, or a run from before tokens were counted, and no plan is shown."""
    for number, text in enumerate(("{", '{"tokens": 5}', "[]", '{"tokens": 0, "flops": 0, "training_seconds": 0}')):
        create_run(tmp_path, {}, f"run{number}").card_path.write_text(text)
    assert past_runs_like(tmp_path, RunConfig(), "microworld", "none", "", "CPU").tokens_a_row is None
    assert past_runs_like(tmp_path / "nowhere", RunConfig(), "microworld", "none", "", "CPU").flops_a_second is None
