"""Whether a host can be reached, told within seconds: libraries that find no network try again for minutes."""

from __future__ import annotations

import functools
import os
import socket
import time
import urllib.request
from urllib.parse import urlsplit

TIMEOUT_S, CACHED_S = 3.0, 30.0
OFFLINE_VARIABLES = ("HEIRLOOM_OFFLINE", "HF_HUB_OFFLINE")  # variables that say there is no network, whatever there is


def reachable(url: str) -> bool:
    """Whether something answers at `url`'s host, or at the proxy that leads there. Sends nothing."""
    if any(os.environ.get(name, "").lower() not in ("", "0", "false", "no") for name in OFFLINE_VARIABLES):
        return False
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    try:
        port = parts.port or (80 if parts.scheme == "http" else 443)
    except ValueError:
        return False
    return _answers(parts.hostname or "", port, int(time.monotonic() / CACHED_S))


@functools.lru_cache(maxsize=32)
def _answers(host: str, port: int, now: int) -> bool:
    """Whether `host` takes a connection; asked once in a while, for a form asks at every touch. `now`: which while."""
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT_S):
            return True
    except (OSError, ValueError):  # also a host name that is none
        return False
