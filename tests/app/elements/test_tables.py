"""Tables: nothing in them can be markup."""

import re

from app.elements.tables import html_table
from app.elements.theme import LIGHT


def test_tables_show_no_markup_of_a_cell() -> None:
    """Harm: a model's name runs as a script in the head of a table."""
    html = html_table(["", "<script>x</script>"], [['"><img src=x>', "<b>1</b>"]], LIGHT, caption="<i>")
    assert not re.search("<(script|img|b|i)[ >]", html)
