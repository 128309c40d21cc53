"""Record the requests to the model and to the sample API, so that the demo can check its own statements."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Transcript:
    """The raw bodies of all requests to the model, with history, tool results and tool descriptions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bodies: list[bytes] = []

    def add(self, body: bytes) -> None:
        """Store the body of one request."""
        with self._lock:
            self._bodies.append(body)

    def __len__(self) -> int:
        with self._lock:
            return len(self._bodies)

    def revealing(self, tokens: Collection[str]) -> int:
        """Count the requests that contain a token, or one of the three parts of a token."""
        parts = {part.encode("ascii") for token in tokens for part in token.split(".") if part}
        with self._lock:
            return sum(any(part in body for part in parts) for body in self._bodies)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request to the sample API and the status of its answer."""

    method: str
    path: str
    status: int


class Tap:
    """ASGI middleware that records each call of the sample API, its status and its bearer token."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._tokens: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._keep(scope, message["status"])
            await send(message)

        await self._app(scope, receive, watched)

    @property
    def calls(self) -> tuple[Call, ...]:
        with self._lock:
            return tuple(self._calls)

    @property
    def tokens(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._tokens)

    def _keep(self, scope: Scope, status: int) -> None:
        headers = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
        with self._lock:
            self._calls.append(Call(method=scope["method"], path=scope["path"], status=status))
            self._tokens.update(header.removeprefix("Bearer ") for header in headers)
