"""The verb attention."""

import json

from engine.__main__ import main


def test_sentence_with_markup_is_text(capsys) -> None:
    """Harm: markup in a sentence is taken for something else than words."""
    assert main(["attention", "microworld", "<b>the girl</b> & </script>", "--json"]) == 0
    assert "girl" in json.loads(capsys.readouterr().out)["tokens"]
