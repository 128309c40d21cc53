"""The introspection endpoint of a fake authority, beside a feed that can be cut."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs

from authsec import InvalidToken, RevocationsUnavailable, TokenVerifier
from authsec.jose import parse_compact
from authsec.verifier import IntrospectionHealth

from .fake_feed import FEED, FakeFeed, feeding, respond
from .fake_keys import AUDIENCE, METADATA

INTROSPECT = "/authsec/v1/introspect"
CREDENTIAL = "authsec_api_" + "c" * 43


class FakeIntrospection:
    """Answers at `INTROSPECT` for the API with `CREDENTIAL`. A test may replace `reply`, or name tokens `dead`."""

    def __init__(self, feed: FakeFeed) -> None:
        self.feed = feed
        self.dead: set[str] = set()
        self.asked: list[str] = []
        self.audience = AUDIENCE
        self.opened = threading.Event()  # answers wait for it
        self.opened.set()
        self.reply: Callable[[BaseHTTPRequestHandler, str], None] = self.honest_reply
        authority = feed.authority
        metadata = json.loads(authority.pages[METADATA].body)
        authority.publish(metadata | {"introspection_endpoint": authority.url + INTROSPECT}, METADATA)
        authority.live[INTROSPECT] = self._answer

    def cut(self) -> None:
        """The feed cannot be had from now on; what is known of it is too old."""
        self.feed.authority.live[FEED] = lambda handler: respond(handler, "text/plain", b"", status=502)
        self.feed.stream = lambda handler, _: respond(handler, "text/plain", b"", status=502)
        with self.feed.changed:
            self.feed.closing = True  # whoever follows is cut off
            self.feed.changed.notify_all()
        self.feed.clock.pass_by(31)

    def verifier(self, **settings: Any) -> TokenVerifier:
        return self.feed.verifier(**{"revocations": "introspect", "credential": CREDENTIAL, **settings})

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        form = parse_qs(handler.rfile.read(int(handler.headers["Content-Length"])).decode())
        token = form["token"][0]
        self.asked.append(token)
        self.opened.wait(10)
        self.reply(handler, token)

    def honest_reply(self, handler: BaseHTTPRequestHandler, token: str) -> None:
        if handler.headers["Authorization"] != f"Bearer {CREDENTIAL}":
            respond(handler, "application/json", b"{}", status=401)
        elif token in self.dead:
            self.say(handler, {"active": False})
        else:
            self.say(handler, {"active": True, "token_type": "Bearer", **parse_compact(token).claims})

    def say(self, handler: BaseHTTPRequestHandler, answer: object, **headers: str) -> None:
        body = json.dumps(answer).encode()
        handler.send_response(200)
        for name, value in {
            "Content-Type": "application/json",
            "AuthSec-Audience": self.audience,
            "Content-Length": str(len(body)),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)


@contextmanager
def introspecting() -> Iterator[FakeIntrospection]:
    """A fake authority with a feed and an introspection endpoint, until the block ends."""
    with feeding() as feed:
        yield FakeIntrospection(feed)


def outcome(verifier: TokenVerifier, bearer: str) -> str:
    try:
        verifier.verify(bearer)
    except (InvalidToken, RevocationsUnavailable) as error:
        return error.reason
    return "accepted"


def health_of(verifier: TokenVerifier) -> IntrospectionHealth:
    revocations = verifier.health().revocations
    assert revocations is not None
    assert revocations.introspection is not None
    return revocations.introspection
