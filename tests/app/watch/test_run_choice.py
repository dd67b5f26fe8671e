"""Which run a page is about: the link's, until another is chosen. Run without a browser."""

from streamlit.testing.v1 import AppTest

from app.session import caches
from tests.app.conftest import PROJECT
from tests.fixtures.pictured_run import beginning, write_run
from tests.fixtures.watch_page import ENDED


def test_a_link_counts_again_when_its_page_is_left_and_entered(tmp_path, monkeypatch) -> None:
    """Harm: Examine this run, back, Examine this run once more: and the newest run is shown."""
    monkeypatch.setattr(caches, "RUNS", tmp_path)
    old, new = (write_run(tmp_path, [*beginning(), ENDED]) for _ in range(2))
    kept: dict[str, object] = {}
    for _ in range(2):
        page = AppTest.from_file(PROJECT / "app" / "pages" / "watch.py", default_timeout=120)
        page.query_params["run"] = old.id
        for name, value in kept.items():
            page.session_state[name] = value
        page.run()
        assert not page.exception
        (choice,) = (box for box in page.selectbox if box.label == "Run")
        assert {old.id, new.id} == set(choice.options)
        assert choice.value == old.id
        # what a page's widgets held goes when it is left; what was remembered stays
        kept = {name: page.session_state[name] for name in ("given_chosen_run_Run", "chosen_run_Run_linked")}


def test_every_choice_of_a_run_counts_and_so_does_a_new_link(watch, tmp_path) -> None:
    """Harm: every second choice is lost, or the run that was just started is not the one that is shown."""
    others = [write_run(tmp_path, beginning()).id for _ in range(3)]
    page = watch(beginning())
    for wanted in (*others, *others):
        page.selectbox(key="chosen_run_Run").set_value(wanted).run()
        assert page.selectbox(key="chosen_run_Run").value == wanted
        assert page.query_params["run"] == wanted
    page.query_params["run"] = others[0]
    page.run()
    assert next(box for box in page.selectbox if box.label == "Run").value == others[0]
