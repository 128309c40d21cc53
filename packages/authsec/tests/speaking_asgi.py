"""A client that speaks ASGI to an application, for requests that no HTTP library would send."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


def call(app: Any, path: str, *authorization: str, method: str = "GET", query: str = "") -> Answer:
    """One HTTP request, spoken in ASGI."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"host", b"crm"), *((b"authorization", value.encode("latin-1")) for value in authorization)],
    }
    sent = speak(app, scope, [{"type": "http.request", "body": b"", "more_body": False}])
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], headers, json.loads(b"".join(message.get("body", b"") for message in sent[1:])))


def connect(app: Any, path: str, *authorization: str, extensions: Any = None) -> list[Any]:
    """One WebSocket handshake, and what the application sends."""
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "path": path,
        "query_string": b"",
        "headers": [(b"authorization", value.encode()) for value in authorization],
        "extensions": extensions,
    }
    return speak(app, scope, [{"type": "websocket.connect"}])


def speak(app: Any, scope: dict[str, Any], incoming: list[Any]) -> list[Any]:
    sent: list[Any] = []

    async def receive() -> Any:
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent
