"""A key set that is suddenly empty (a fault, a half-written file, somebody's caching proxy) replaces a good one."""

from __future__ import annotations

from typing import Any

import pytest

from ..fake_keys import FakeClock, jwk_of, rsa_key, serving


@pytest.mark.parametrize(
    "document", [{"keys": []}, {}, {"keys": None}, {"keys": [jwk_of(rsa_key(), "current", use="enc")]}]
)
def test_nothing_never_replaces_something(document: dict[str, Any]) -> None:
    clock = FakeClock()
    with serving() as authority:
        verifier = authority.verifier(clock)
        bearer = authority.token(exp=int(clock.wall) + 10**6)
        verifier.verify(bearer)
        authority.publish(document)
        clock.pass_by(3600)
        assert verifier.verify(bearer)
        assert authority.key_sets_fetched == 2
