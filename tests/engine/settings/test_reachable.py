"""Whether there is a network, asked of hosts that this test makes itself."""

import socket

import pytest

from engine.settings.reachable import OFFLINE_VARIABLES, _answers, reachable


@pytest.fixture(autouse=True)
def online(monkeypatch):
    """No variable says that there is no network, and nothing is remembered."""
    for name in OFFLINE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    _answers.cache_clear()


@pytest.fixture
def port():
    """A port of this machine that answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_what_answers_is_reachable_and_nothing_else_is(port):
    """Harm: a library is sent to a host that is not there and tries again for minutes."""
    assert reachable(f"http://127.0.0.1:{port}/x")
    with socket.create_server(("127.0.0.1", 0)) as gone:
        closed = gone.getsockname()[1]
    assert not reachable(f"http://127.0.0.1:{closed}")
    assert not reachable("http://127.0.0.1:99999999")
    assert not reachable("nonsense")


def test_behind_a_proxy_the_proxy_is_asked(port, monkeypatch):
    """Harm: an office, where only the proxy can be reached, counts as having no network."""
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
    assert reachable("https://host.invalid")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    assert reachable(f"https://127.0.0.1:{port}")


@pytest.mark.parametrize("name", OFFLINE_VARIABLES)
def test_a_variable_can_forbid_the_network(name, port, monkeypatch):
    """Harm: a test, or a talk in front of a room, that depends on the network of the place."""
    monkeypatch.setenv(name, "1")
    assert not reachable(f"http://127.0.0.1:{port}")
    monkeypatch.setenv(name, "0")
    assert reachable(f"http://127.0.0.1:{port}")
