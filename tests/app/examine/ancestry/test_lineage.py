"""Lineages: described, missing or damaged. Run without a browser."""

import shutil

import pytest
from safetensors.numpy import load_file, save_file
from streamlit.testing.v1 import AppTest

from app.examine.ancestry.lineage import moment_of_compactors
from app.session import caches
from tests.fixtures.examine_page import PAGE
from tests.fixtures.page_reading import told


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ({"options": {"after_closing": "folded", "closed_by": 0.5}, "steps": 500, "steps_done": 500}, "about 50% into"),
        ({"options": {"after_closing": "kept", "closed_by": 0.5}, "steps": 500, "steps_done": 500}, "kept to the end"),
        (
            {"options": {"after_closing": "folded", "closed_by": 0.5}, "steps": 500, "steps_done": 120},
            "after 120 of 500",
        ),
        ({}, "kept to the end"),
    ],
)
def test_the_moment_of_the_compactors_is_said(card, says) -> None:
    """Harm: what the student learned after it was folded is believed to be in its ancestry."""
    assert says in moment_of_compactors(card)


def test_who_did_not_inherit_is_told_why(opened) -> None:
    """Harm: an empty picture, as if a student from scratch had ancestors of nothing."""
    page = opened("Ancestry", "scratch")
    assert "made by the method scratch, which keeps no compactors" in told(page)
    assert not [chart for chart in page.get("plotly_chart") if chart.key.startswith("ancestry")]


def test_a_damaged_lineage_is_said_in_words(opened, runs, ids, tmp_path, monkeypatch) -> None:
    """Harm: a traceback, or a Sankey of nonsense."""
    copied = tmp_path / "runs"
    shutil.copytree(runs, copied)
    path = copied / ids["wid"] / "student" / "lineage.safetensors"
    tensors = load_file(path)
    tensors["attentions.1.query.column"] = tensors["attentions.1.query.column"][:, :-1].copy()
    save_file(tensors, path)
    card = path.parent / "card.json"
    card.write_text(card.read_text() + " ")  # another time of change, another student
    (path.parent / "checksums.json").unlink()  # as of a version before there were any
    page = opened("Ancestry")  # the healthy one is remembered by now
    monkeypatch.setattr(caches, "RUNS", copied)
    page = AppTest.from_file(PAGE, default_timeout=300)
    page.query_params["run"], page.query_params["view"] = ids["wid"], "Ancestry"
    page.run()
    assert not page.exception
    assert "does not fit its student: attentions.1.query.column" in told(page).replace("\\", "")
    path.write_bytes(b"nothing of the kind")
    card.write_text(card.read_text() + " ")
    page.run()
    assert "The lineage in student is damaged" in told(page)
