"""Documents out of data sets of the Hub, which is a stand-in: there is no network here."""

import pytest

from engine.text import sources
from engine.text.sources import find_source
from engine.text.token_store import CorpusError

pytestmark = pytest.mark.usefixtures("here")


def test_the_hub_is_asked_for_by_name_when_its_package_is_missing(monkeypatch):
    """Harm: ModuleNotFoundError for somebody who typed a data set's name."""
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CorpusError, match="pip install datasets"):
        find_source("hub:Salesforce/wikitext:wikitext-2-v1")


@pytest.fixture
def hub(monkeypatch):
    """A Hub with one data set, behind the two libraries that lead there; what was asked of it."""
    import sys
    import types

    import huggingface_hub

    asked = []

    def load_dataset(name, config, split, streaming):
        asked.append((name, config, split, streaming))
        if name == "no/such":
            raise FileNotFoundError("Dataset 'no/such' doesn't exist on the Hub\nmany more lines")
        return ({"id": index, "text": f"Text {index}. More."} for index in range(3))

    class HfApi:
        def dataset_info(self, name, timeout):
            return types.SimpleNamespace(sha=f"revision of {name}")

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset, __spec__=True))
    monkeypatch.setattr(huggingface_hub, "HfApi", HfApi)
    monkeypatch.setattr(sources, "reachable", lambda url: True)
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: name)
    return asked


def test_a_data_set_of_the_hub_is_streamed(hub):
    """Harm: 20 GB on the disk before the first step."""
    source = find_source("hub:owner/name:part#text")
    assert not hub  # nothing is asked before it is needed
    assert list(source.read()) == [[f"Text {index}.", "More."] for index in range(3)]
    assert hub == [("owner/name", "part", "train", True)]
    assert source.fingerprint() != find_source("hub:owner/name:part#id").fingerprint()


@pytest.mark.parametrize("name", ["../etc", "a/b/c", "", "a b", "owner/name:../x", "-x"])
def test_a_data_set_has_a_name(hub, name):
    """Harm: a path or an address passed on to a library as a name."""
    with pytest.raises(CorpusError, match="is named hub:OWNER/NAME"):
        find_source(f"hub:{name}")


def test_what_the_hub_says_fits_on_a_line(hub):
    """Harm: a traceback of forty lines for a typing error."""
    with pytest.raises(CorpusError, match="doesn't exist") as caught:
        list(find_source("hub:no/such").read())
    assert "\n" not in str(caught.value)


def test_without_a_network_the_hub_is_refused_at_once(monkeypatch):
    """Harm: minutes of retries before the same answer."""
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CorpusError, match="no network"):
        find_source("hub:owner/name")
