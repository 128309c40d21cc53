"""Test clients that go to the app's thread once for each request, and not eight times.

Starlette's `TestClient` fetches each part of an answer from the thread of the event loop: four fifths of a short
request's time. A test that reads an answer while it is made (`client.stream`) still has Starlette's own way.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import unquote

import anyio
import httpx2
from starlette import testclient

_PORTS = {"http": 80, "https": 443}
_STREAMED = "authsec.streamed"
Message = MutableMapping[str, Any]


def answer_in_one_hop() -> None:
    """From now on, in this process."""
    transport, client = testclient._TestClientTransport, testclient.TestClient
    in_parts, send = transport.handle_request, client.send

    def handle_request(self: Any, request: httpx2.Request) -> httpx2.Response:
        if request.url.scheme not in _PORTS or request.extensions.get(_STREAMED):
            return in_parts(self, request)
        return _answered(self, request)

    def marked(self: Any, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        request.extensions[_STREAMED] = stream
        return send(self, request, stream=stream, **options)

    setattr(transport, "handle_request", handle_request)  # noqa: B010 mypy allows no other way
    setattr(client, "send", marked)  # noqa: B010 likewise


def _answered(transport: Any, request: httpx2.Request) -> httpx2.Response:
    conversation = _Conversation(request.read())
    try:
        with transport.portal_factory() as portal:
            portal.call(transport.app, _scope(transport, request), conversation.receive, conversation.send)
    except Exception:
        if transport.raise_server_exceptions:
            raise
    assert conversation.status or not transport.raise_server_exceptions, "TestClient did not receive any response."
    body = b"" if request.method == "HEAD" else b"".join(conversation.body)
    return httpx2.Response(
        conversation.status or 500, headers=conversation.headers, stream=httpx2.ByteStream(body), request=request
    )


class _Conversation:
    """One request and its answer (ASGI 3). The client stays connected until the answer is complete."""

    def __init__(self, content: bytes) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: list[bytes] = []
        self._content: bytes | None = content
        self._complete = anyio.Event()

    async def receive(self) -> Message:
        if self._content is None:
            await self._complete.wait()
            return {"type": "http.disconnect"}
        content, self._content = self._content, None
        return {"type": "http.request", "body": content}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            assert not self.status, 'Received multiple "http.response.start" messages.'
            self.status, self.headers = message["status"], list(message.get("headers", []))
        elif message["type"] == "http.response.body":
            assert self.status, 'Received "http.response.body" without "http.response.start".'
            assert not self._complete.is_set(), 'Received "http.response.body" after response completed.'
            self.body.append(bytes(message.get("body", b"")))
            if not message.get("more_body", False):
                self._complete.set()


def _scope(transport: Any, request: httpx2.Request) -> Message:
    url = request.url
    return {
        "type": "http",
        "http_version": "1.1",
        "method": request.method,
        "path": unquote(url.path),
        "raw_path": url.raw_path.split(b"?", 1)[0],
        "root_path": transport.root_path,
        "scheme": url.scheme,
        "query_string": url.query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": transport.client,
        "server": [url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme]],
        "extensions": {},
        "state": transport.app_state.copy(),
    }
