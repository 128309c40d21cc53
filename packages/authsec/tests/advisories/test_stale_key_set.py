"""A key set that cannot be renewed lives on, and with it a key that was withdrawn.

Shipped elsewhere as a cache whose age was reset by the failed refresh. Here age counts from the last success only, and
an old set is used while the authority is away, but not for ever. Nor does a cache on the way, which may keep the set
for minutes for those who let it, make a withdrawn key live longer.
"""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler

import pytest
from authsec import KeysUnavailable

from ..fake_feed import respond
from ..fake_keys import JWKS, METADATA, FakeAuthority, FakeClock, key_set, reason_of, serving


def test_failed_renewals_do_not_make_a_set_younger() -> None:
    clock = FakeClock()
    with serving() as authority:
        verifier = authority.verifier(clock, keep_for=3600)
        bearer = authority.token(exp=int(clock.wall) + 10**6)
        verifier.verify(bearer)
        authority.pages[JWKS].status = 500
        for _ in range(11):
            clock.pass_by(300)
            assert verifier.verify(bearer)
        clock.pass_by(300)
        for _ in range(2):
            with pytest.raises(KeysUnavailable):
                verifier.verify(bearer)


def test_a_withdrawn_key_is_gone_with_the_next_set() -> None:
    clock = FakeClock()
    with serving() as authority:
        verifier = authority.verifier(clock)
        bearer = authority.token(exp=int(clock.wall) + 10**6)
        verifier.verify(bearer)
        authority.publish(key_set("next"))
        clock.pass_by(3600)
        assert reason_of(verifier, bearer) == "kid_unknown"


def test_no_cache_in_between_answers_for_the_authority() -> None:
    clock = FakeClock()
    with serving() as authority:
        for path in (METADATA, JWKS):
            put_a_cache_before(authority, path)
        verifier = authority.verifier(clock)
        bearer = authority.token(exp=int(clock.wall) + 10**6)
        verifier.verify(bearer)
        authority.publish(key_set("next"))
        clock.pass_by(3600)
        assert reason_of(verifier, bearer) == "kid_unknown"


def put_a_cache_before(authority: FakeAuthority, path: str) -> None:
    """One that keeps what it has for everybody who does not ask it to look (RFC 9111 §5.2.1.4)."""
    kept = authority.pages[path].body

    def answer(handler: BaseHTTPRequestHandler) -> None:
        looks = handler.headers.get("Cache-Control") == "no-cache"
        respond(handler, "application/json", authority.pages[path].body if looks else kept)

    authority.live[path] = answer
