"""Attack: a stranger reads wheels very slowly, so that token requests find no place or the server no memory."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from authsec_server.sdk_wheels import api, load_wheels
from fake_wheels import FILES, fake_wheels
from serving import serving

House = Any
FIRST = next(iter(FILES))


def test_slow_downloads_have_few_places_and_end(
    house: Callable[..., House], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "OF_ONE_NETWORK", 2)
    monkeypatch.setattr(api, "DOWNLOAD_SECONDS", 0.5)
    large = dict(FILES) | {FIRST: b"x" * 16_000_000}  # more than the buffers of both ends
    opened = house(wheels=load_wheels(fake_wheels(tmp_path, large)), max_in_flight=3)
    path = f"/authsec/sdk/{FIRST}"
    with serving(opened) as url, ExitStack() as slow:  # closed first: a server waits for its connections
        address = (urlsplit(url).hostname, urlsplit(url).port)
        for _ in range(2):
            each = slow.enter_context(socket.create_connection(address))
            each.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            each.recv(1)  # its download runs
        refused = httpx2.get(url + path, trust_env=False)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert httpx2.get(f"{url}/authsec/.well-known/jwks.json", trust_env=False).status_code == 200
        deadline = time.monotonic() + 10
        while (status := httpx2.head(url + path, trust_env=False).status_code) == 503 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert status == 200
