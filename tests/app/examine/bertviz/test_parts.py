"""Parts of bertviz: its scripts are those that were checked, and it needs no notebook."""

import json
import sys
import threading

import pytest

from app.examine.bertviz import parts
from engine.settings.project import ASSETS

SCRIPTS = ASSETS / "scripts"
CARD = json.loads((SCRIPTS / "card.json").read_text(encoding="utf-8"))


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """A folder of shipped scripts that a test may damage."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    for path in SCRIPTS.iterdir():
        folder.joinpath(path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(parts, "ASSETS", tmp_path)
    parts.shipped_script.cache_clear()
    yield folder
    parts.shipped_script.cache_clear()


@pytest.mark.parametrize("name", CARD)
def test_shipped_scripts_are_safe_inside_a_page(name) -> None:
    """Harm: the rest of a library is shown as text, because the browser took a part of it for the script's end."""
    script = parts.shipped_script(name).lower()
    assert CARD[name]["version"] in script[:200]
    assert "</script" not in script
    assert "<!--" not in script


def test_everything_shipped_there_is_on_the_card() -> None:
    """Harm: a file of somebody else's without a word about where it comes from and what it may be used for."""
    licences = {about["licence_file"] for about in CARD.values()}
    assert {path.name for path in SCRIPTS.iterdir()} == {*CARD, *licences, "card.json"}


@pytest.mark.parametrize("name", CARD)
def test_missing_or_other_script_fails_loudly(name, scripts) -> None:
    """Harm: a page without d3, or with a d3 that somebody changed, that shows nothing and says nothing."""
    with scripts.joinpath(name).open("a") as file:
        file.write(" ")
    with pytest.raises(RuntimeError, match="another file; restore it"):
        parts.shipped_script(name)
    scripts.joinpath(name).unlink()
    with pytest.raises(RuntimeError, match="got none; restore them"):
        parts.shipped_script(name)


@pytest.mark.parametrize("card", ["", "[]", "{}", None])
def test_damaged_card_fails_loudly(card, scripts) -> None:
    """Harm: a traceback about a key where a sentence was due."""
    scripts.joinpath("card.json").unlink()
    if card is not None:
        scripts.joinpath("card.json").write_text(card)
    with pytest.raises(RuntimeError, match="restore them"):
        parts.shipped_script("d3.min.js")


def test_bertviz_comes_without_ipython_and_leaves_no_trace_of_one(monkeypatch) -> None:
    """Harm: the view needs 32 MB of notebook; or everybody else takes the app for a notebook from then on."""

    class NoNotebook:
        """Finds nothing of IPython, as where it is not installed."""

        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == "IPython":
                raise ModuleNotFoundError(name)

    for name in [name for name in sys.modules if name.partition(".")[0] in ("IPython", "bertviz")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NoNotebook(), *sys.meta_path])
    found = []
    sessions = [threading.Thread(target=lambda: found.append(parts.imported_bertviz())) for _ in range(4)]
    for session in sessions:
        session.start()
    for session in sessions:
        session.join()
    assert len(found) == 4
    assert len({id(it.head_view) for it in found}) == 1
    assert not [name for name in sys.modules if name.startswith("IPython")]
    for name in [name for name in sys.modules if name.startswith("bertviz")]:
        monkeypatch.delitem(sys.modules, name)
