"""The verb runs."""

import json

from engine.__main__ import main


def test_runs_lists_the_run(finished, capsys) -> None:
    """Harm: a finished run cannot be found again."""
    runs, card, _ = finished
    assert main(["runs", "--runs", str(runs), "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["id"], listed["status"]) == (card["id"], "finished")
