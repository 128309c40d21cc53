"""One request by each of the libraries that agents call APIs with, so that one test holds for all of them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import httpx2
import requests

Pieces = tuple[bytes, ...]
TRUST = ssl.create_default_context()  # once: each client would take its time for one of its own


@dataclass(frozen=True)
class Speaker:
    """`send(auth, url, body)` gives status and body of the answer. A tuple for a body is streamed, piece by piece."""

    name: str
    auth: Callable[..., Any]
    """Of a client, as `client.requests_auth`."""
    send: Callable[..., tuple[int, bytes]]


def by_requests(auth: Any, url: str, body: bytes | Pieces | None = None, patience: float = 10) -> tuple[int, bytes]:
    data = iter(body) if isinstance(body, tuple) else body
    answer = requests.request("POST" if body else "GET", url, data=data, auth=auth, timeout=patience)
    return answer.status_code, answer.content


def by_client(library: Any) -> Callable[..., tuple[int, bytes]]:
    def send(auth: Any, url: str, body: bytes | Pieces | None = None, patience: float = 10) -> tuple[int, bytes]:
        content: Iterator[bytes] | bytes | None = iter(body) if isinstance(body, tuple) else body
        with library.Client(auth=auth, follow_redirects=True, timeout=patience, verify=TRUST) as client:
            answer = client.request("POST" if body else "GET", url, content=content)
        return answer.status_code, answer.content

    return send


def by_async_client(library: Any) -> Callable[..., tuple[int, bytes]]:
    async def pieces(body: Pieces) -> AsyncIterator[bytes]:
        for piece in body:
            yield piece

    async def asend(auth: Any, url: str, body: bytes | Pieces | None, patience: float) -> tuple[int, bytes]:
        content = pieces(body) if isinstance(body, tuple) else body
        async with library.AsyncClient(auth=auth, follow_redirects=True, timeout=patience, verify=TRUST) as client:
            answer = await client.request("POST" if body else "GET", url, content=content)
        return answer.status_code, answer.content

    def send(auth: Any, url: str, body: bytes | Pieces | None = None, patience: float = 10) -> tuple[int, bytes]:
        return asyncio.run(asend(auth, url, body, patience))

    return send


SPEAKERS = [
    Speaker("requests", lambda client, **how: client.requests_auth(**how), by_requests),
    Speaker("httpx", lambda client, **how: client.httpx_auth(**how), by_client(httpx)),
    Speaker("httpx, async", lambda client, **how: client.httpx_auth(**how), by_async_client(httpx)),
    Speaker("httpx2", lambda client, **how: client.httpx_auth(**how), by_client(httpx2)),
    Speaker("httpx2, async", lambda client, **how: client.httpx_auth(**how), by_async_client(httpx2)),
]
