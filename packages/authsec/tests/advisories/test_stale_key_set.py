"""A key set that cannot be renewed lives on, and with it a key that was withdrawn.

Shipped elsewhere as a cache whose age was reset by the failed refresh. Here age counts from the last success only, and
an old set is used while the authority is away, but not for ever.
"""

from __future__ import annotations

import pytest
from authsec import KeysUnavailable

from ..fake_keys import JWKS, FakeClock, key_set, reason_of, serving


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
