"""An API behind a proxy that lets no feed through still knows what has ended: it asks, over a real socket."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from authsec import InvalidToken, RevocationsUnavailable, TokenVerifier
from authsec.clock import Clock
from authsec.jose import parse_compact
from authsec_server.apis import credentials
from authsec_server.clients import service
from authsec_server.revocations import api as feed
from introspecting import BILLING, CRM, INTROSPECT, register, token_for
from serving import serving
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from trusted_issuers import operator


@dataclass
class Proxy:
    """Stands before an authority, and lets through what is not `cut`."""

    app: ASGIApp
    cut: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        self.asked.append(path)
        if self._cuts(path):
            await PlainTextResponse("no", 502)(scope, receive, send)
            return

        async def through(message: Message) -> None:
            if self._cuts(path):
                raise ConnectionResetError  # what is under way is cut as well
            await send(message)

        await self.app(scope, receive, through)

    def _cuts(self, path: str) -> bool:
        return bool(self.cut) and path.startswith(self.cut)


@dataclass
class Behind:
    """A verifier at the other side of a proxy; `later` is by how much its clock is put forward."""

    its: Any
    url: str
    proxy: Proxy
    later: float = 0.0

    def verifier(self, credential: str, **settings: Any) -> TokenVerifier:
        clock = Clock(
            wall=lambda: self.its.clock.at.timestamp() + self.later, monotonic=lambda: time.monotonic() + self.later
        )
        policy = {"revocations": "introspect", "credential": credential, "clock": clock}
        return TokenVerifier(self.url, CRM, **{**policy, **settings})

    def revoke(self, token: str) -> None:
        client_id, act = parse_compact(token).claims["client_id"], operator(self.its)
        self.its.authority.database.change(lambda tx: service.revoke_tokens(tx, act, client_id))


@contextmanager
def behind_a_proxy(house: Callable[..., Any]) -> Iterator[Behind]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        its = house(public_url=url)
        proxy = Proxy(its.authority.app)
        with serving(its, listener=listener, app=proxy):
            yield Behind(its, url, proxy)


def outcome(verifier: TokenVerifier, bearer: str) -> str:
    try:
        verifier.verify(bearer)
    except (InvalidToken, RevocationsUnavailable) as error:
        return error.reason
    return "accepted"


def test_without_the_feed_tokens_are_judged_rightly_all_the_same(house: Callable[..., Any]) -> None:
    with behind_a_proxy(house) as there:
        verifier = there.verifier(register(there.its))
        good, bad, elsewhere = (token_for(there.its, CRM, name=name) for name in ("Good", "Bad", "Elsewhere"))
        assert [outcome(verifier, each) for each in (good, bad)] == ["accepted"] * 2
        assert there.proxy.asked.count(INTROSPECT) == 0
        there.proxy.cut, there.later = (feed.PATH,), 31.0
        there.revoke(bad)
        assert [outcome(verifier, each) for each in (bad, good, bad, good)] == ["token_revoked", "accepted"] * 2
        assert asyncio.run(verifier.averify(elsewhere))
        assert there.proxy.asked.count(INTROSPECT) == 3
        there.proxy.cut, there.later = (), 0.0
        began = time.monotonic()
        while not (health := verifier.health().revocations) or not health.connected or health.age is None:
            assert time.monotonic() - began < 10
            time.sleep(0.01)
        assert [outcome(verifier, each) for each in (bad, good)] == ["token_revoked", "accepted"]
        assert there.proxy.asked.count(INTROSPECT) == 3
        verifier.close()


def test_a_wrong_credential_is_not_taken_for_a_dead_token(house: Callable[..., Any]) -> None:
    with behind_a_proxy(house) as there:
        there.proxy.cut = (feed.PATH,)
        right, other = register(there.its), register(there.its, "billing", BILLING)
        token, act = token_for(there.its, CRM), operator(there.its)
        verifier = there.verifier(other)
        assert outcome(verifier, token) == "revocations_unavailable"
        assert "belongs to another API" in str(verifier.health())
        verifier.close()
        verifier = there.verifier(right)
        assert outcome(verifier, token) == "accepted"
        database = there.its.authority.database
        held = database.read(lambda tx: credentials.of_api(tx, act, "crm"))
        database.change(lambda tx: credentials.revoke(tx, act, "crm", held[0].id))
        there.later = 6.0
        assert outcome(verifier, token) == "revocations_unavailable"
        assert "does not know the credential" in str(verifier.health())
        for secret in (right, other, token):
            assert secret not in str(verifier.health())
        verifier.close()
