"""Somebody else answers the API's question whether a token counts, or gets hold of what it is asked with.

The question carries a live token and the API's credential, and its answer is not signed: it goes to the authority's own
host over TLS and nowhere else, and what does not answer this very question decides nothing.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from authsec import ConfigError, RevocationsUnavailable, TokenVerifier
from authsec.clock import Clock
from authsec.jose import parse_compact
from authsec.tls_and_proxy import trust_store
from authsec.verifier import introspection
from authsec.verifier.documents import DocumentRefused
from authsec.verifier.introspection import IntrospectionEndpoint

from ..fake_feed import FEED
from ..fake_introspection import CREDENTIAL, INTROSPECT, FakeIntrospection, introspecting, outcome
from ..fake_keys import AUDIENCE, METADATA, FakeClock, certificate, claims, serving


@pytest.fixture
def its() -> Iterator[FakeIntrospection]:
    """An authority whose feed cannot be had."""
    with introspecting() as running:
        running.feed.authority.live.pop(FEED)
        yield running


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """What comes back in place of an answer about a token with these claims, and what is said of it."""

    said: str
    body: Callable[[Mapping[str, Any]], object] = lambda _: {"active": False}
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def reply(self, handler: BaseHTTPRequestHandler, bearer: str) -> None:
        made = self.body({"active": True, "token_type": "Bearer", **parse_compact(bearer).claims})
        octets = made if isinstance(made, bytes) else json.dumps(made).encode()
        handler.send_response(self.status)
        its = {"Content-Type": "application/json", "AuthSec-Audience": AUDIENCE, "Content-Length": str(len(octets))}
        for name, value in {**its, **self.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(octets)


ANOTHER, NOT_SAID, NO_JSON = "about another token", "did not say whether", "does not answer with a JSON object"
WRONG = {
    "another token's answer": Wrong(said=ANOTHER, body=lambda right: {**right, "jti": "another"}),
    "the answer about an older token": Wrong(said=ANOTHER, body=lambda right: {**right, "authority_version": 1}),
    "a yes without a token": Wrong(said=ANOTHER, body=lambda _: {"active": True}),
    "no answer": Wrong(said=NOT_SAID, body=lambda _: {}),
    "a word for a yes": Wrong(said=NOT_SAID, body=lambda right: {**right, "active": "true"}),
    "two answers": Wrong(said=NO_JSON, body=lambda _: b'{"active":false,"active":true}'),
    "a page": Wrong(said=NO_JSON, headers={"Content-Type": "text/html"}),
    "a list": Wrong(said=NO_JSON, body=lambda right: [right]),
    "a redirect": Wrong(said="redirects", status=307, headers={"Location": "/elsewhere"}),
    "a flood": Wrong(said="is too long", body=lambda _: b" " * 100_000 + b"{}"),
    "whoever knows no credential": Wrong(said="does not know the credential", status=401),
    "an endpoint that is no authority's": Wrong(said="did not say which API", headers={"AuthSec-Audience": ""}),
    # The authority says inactive of every token that is not for the API that asks: all would look dead.
    "the credential of another API": Wrong(
        said="belongs to another API", headers={"AuthSec-Audience": "https://billing.example.com"}
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_answer_decides_nothing(its: FakeIntrospection, name: str) -> None:
    its.reply = WRONG[name].reply
    verifier, bearer = its.verifier(), its.feed.authority.token()
    with pytest.raises(RevocationsUnavailable, match=WRONG[name].said):
        verifier.verify(bearer)
    assert "/elsewhere" not in its.feed.authority.asked
    its.reply = its.honest_reply
    its.feed.clock.pass_by(10)
    assert outcome(verifier, bearer) == "accepted"  # and has not made the token a dead one
    verifier.close()


def test_only_the_authority_itself_is_asked(its: FakeIntrospection) -> None:
    """Whoever can change its metadata can send nobody's tokens elsewhere."""
    authority = its.feed.authority
    with serving() as elsewhere:
        authority.publish({"issuer": authority.url, "introspection_endpoint": elsewhere.url + INTROSPECT}, METADATA)
        asking = IntrospectionEndpoint(authority.url, AUDIENCE, CREDENTIAL, clock=FakeClock().clock(), trust=None)
        with pytest.raises(DocumentRefused, match="does not begin with"):
            asking.ask("a token", claims())
        assert elsewhere.asked == []


def test_plain_http_and_unknown_certificates_are_not_spoken_to(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="plain http"):
        TokenVerifier("http://authsec.example.com", AUDIENCE, revocations="introspect", credential=CREDENTIAL)
    with serving(certificate(tmp_path / "stranger.pem")) as stranger:
        asking = IntrospectionEndpoint(stranger.url, AUDIENCE, CREDENTIAL, clock=Clock(), trust=trust_store(None))
        with pytest.raises(DocumentRefused, match="certificate is not trusted"):
            asking.ask("a token", claims())
        assert stranger.asked == []


def test_an_answer_that_drips_is_not_waited_for(its: FakeIntrospection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(introspection, "_MOST_SECONDS", 0.2)

    def drip(handler: BaseHTTPRequestHandler, _: str) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _step in range(100):
            handler.wfile.write(b" ")
            time.sleep(0.02)

    its.reply = drip
    asking = IntrospectionEndpoint(its.feed.authority.url, AUDIENCE, CREDENTIAL, clock=Clock(), trust=None)
    began = time.monotonic()
    with pytest.raises(DocumentRefused, match="no answer within"):
        asking.ask("a token", claims())
    assert time.monotonic() - began < 1


def test_token_and_credential_are_in_no_text(its: FakeIntrospection, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    verifier, bearer = its.verifier(), its.feed.authority.token()
    texts = [repr(verifier)]
    for wrong in WRONG.values():
        its.reply = wrong.reply
        its.feed.clock.pass_by(10)
        with pytest.raises(RevocationsUnavailable) as refused:
            verifier.verify(bearer)
        error = refused.value
        texts += [str(error), error.details, repr(error), repr(verifier.health())]
        assert error.__cause__ is None
    said = "\n".join([*texts, caplog.text.replace(INTROSPECT, "")])
    for secret in (CREDENTIAL, bearer, *bearer.split(".")):
        assert secret not in said
    verifier.close()
