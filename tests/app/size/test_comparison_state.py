"""The comparison that the size page changes: late news of a control is no change."""

import pytest

from app.size import comparison_state


def test_a_new_control_s_report_of_what_it_was_made_with_is_no_change() -> None:
    """Harm: a slider that was made anew tells its number late, and takes back what has been chosen since."""
    session, taken = {"slider": 6}, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison_state, "recall", session.get)
        patch.setattr(comparison_state, "remember", session.__setitem__)
        changed = comparison_state.change_callback("slider", 6, taken.append)
        changed()
        assert taken == []
        for value in (7, 6):  # away, and back before the page was drawn again
            session["slider"] = value
            changed()
    assert taken == [7, 6]
