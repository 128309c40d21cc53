"""The revocation feed of a fake authority: batches with signed heads, as pages and as a stream."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from authsec import strict_json
from authsec.jose import PrivateKey, sign_compact
from authsec.verifier import TokenVerifier
from authsec.verifier.key_set import GivenKeys
from authsec.verifier.revocations.batch import digest_of

from .fake_keys import JWKS, METADATA, NOW, FakeAuthority, FakeClock, jwk_of, serving

FEED = "/authsec/v1/revocations"
FEED_KEYS = f"{FEED}/keys"


@cache
def feed_key(name: str = "feed") -> PrivateKey:
    """One Ed25519 key a name, made once a run."""
    return PrivateKey.generate_ed25519()


def feed_keys(*names: str) -> dict[str, Any]:
    return {"keys": [jwk_of(feed_key(name), name) for name in names or ("feed",)]}


def given_feed_keys() -> GivenKeys:
    return GivenKeys(feed_keys())


def entry(
    sequence: int, kind: str = "client", subject: str = "c1", version: int = 8, at: float = NOW
) -> dict[str, Any]:
    """One entry as it is served."""
    said = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"sequence": sequence, "kind": kind, "subject": subject, "version": version, "at": said}


def document(
    entries: list[dict[str, Any]],
    *,
    since: int = 0,
    after: dict[str, Any] | None = None,
    key: str = "feed",
    typ: str = "authsec-revocations+jwt",
    **head: Any,
) -> dict[str, Any]:
    """A batch that follows the entry `after`, good unless the claims of its head are changed."""
    since = after["sequence"] if after else since
    last = entries[-1]["sequence"] if entries else since
    claims = {
        "iss": "https://authsec.example.com",
        "iat": NOW,
        "since": since,
        "through": last,
        "last": last,
        "snapshot": False,
        "entries_sha256": digest_of(entries),
        "follows": digest_of(after) if after else "",
    } | head
    return {"entries": entries, "head": sign_compact({"typ": typ, "kid": key}, claims, feed_key(key))}


def octets(batch: Mapping[str, Any]) -> bytes:
    return strict_json.dumps(batch)


class FakeFeed:
    """Answers at `FEED`. `beat` are the seconds between heads of a stream; `answer` may be replaced by a test."""

    def __init__(self, authority: FakeAuthority, clock: FakeClock) -> None:
        self.authority = authority
        self.clock = clock
        self.entries: list[dict[str, Any]] = []
        self.beat = 0.05
        self.streams = 0
        self.pages = 0
        self.closing = False
        self.changed = threading.Condition()
        self.head: dict[str, Any] = {}  # claims that each head has instead of the true ones
        metadata = {
            "issuer": authority.url,
            "jwks_uri": authority.url + JWKS,
            "authsec_revocations_uri": authority.url + FEED,
            "authsec_revocations_keys_uri": authority.url + FEED_KEYS,
        }
        authority.publish(metadata, METADATA)
        authority.publish(feed_keys(), FEED_KEYS)
        authority.live[FEED] = self._answer
        self.stream: Callable[[BaseHTTPRequestHandler, int], None] = self.honest_stream

    def end(self, kind: str, subject: str, version: int = 8) -> None:
        with self.changed:
            self.entries.append(entry(len(self.entries) + 1, kind, subject, version, at=self.clock.wall))
            self.changed.notify_all()

    def verifier(self, **settings: Any) -> TokenVerifier:
        return self.authority.verifier(self.clock, **{"revocations": "fail_closed", **settings})

    def page(self, since: int, limit: int | None = None) -> bytes:
        new = [each for each in self.entries if each["sequence"] > since][:limit]
        after = self.entries[since - 1] if 0 < since <= len(self.entries) else None
        head = {"iss": self.authority.url, "iat": int(self.clock.wall), "last": len(self.entries), **self.head}
        return octets(document(new, since=since, after=after, **head))

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        query = parse_qs(urlsplit(handler.path).query)
        since = int(query["since"][0])
        if handler.headers["Accept"] == "text/event-stream":
            self.streams += 1
            self.stream(handler, since)
        else:
            self.pages += 1
            respond(handler, "application/json", self.page(since, int(query["limit"][0])))

    def honest_stream(self, handler: BaseHTTPRequestHandler, since: int) -> None:
        respond(handler, "text/event-stream")
        while not self.closing:
            with self.changed:
                body, through = self.page(since), len(self.entries)
            handler.wfile.write(b"event: batch\nid: %d\ndata: %s\n\n" % (through, body))
            with self.changed:
                if len(self.entries) == through:
                    self.changed.wait(self.beat)
            since = through

    def quiet(self) -> None:
        """For streams that say nothing: return once the test is over."""
        with self.changed:
            self.changed.wait_for(lambda: self.closing)


def respond(handler: BaseHTTPRequestHandler, kind: str, body: bytes | None = None, status: int = 200) -> None:
    """Headers, and the body if there is one; a stream lasts until the connection does."""
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    if body is not None:
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if body is not None:
        handler.wfile.write(body)


class TimeOfDay(FakeClock):
    """The real time, for verifiers that no test has a hand on."""

    wall = property(lambda _: time.time(), lambda *_: None)  # type: ignore[assignment]  # a number when it is read


@contextmanager
def feeding(clock: FakeClock | None = None) -> Iterator[FakeFeed]:
    """A fake authority with a feed, until the block ends."""
    with serving() as authority:
        feed = FakeFeed(authority, clock or FakeClock())
        try:
            yield feed
        finally:
            feed.closing = True
            with feed.changed:
                feed.changed.notify_all()
