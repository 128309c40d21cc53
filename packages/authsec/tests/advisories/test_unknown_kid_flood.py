"""Strangers invent key names to make the API hammer its authority.

Looking for an unknown `kid` is needed after a key rotation, and it is a request that anybody can trigger without any
credential. So it happens at most once a minute, however many names come, and the names are not remembered.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from authsec import KeysUnavailable

from ..fake_keys import FakeClock, key_set, reason_of, serving, token


def invented(authority: Any, name: str = "") -> str:
    """What a stranger can make: it names our issuer, and a key that nobody has."""
    return token(iss=authority.url, header={"kid": f"invented-{name}"})


def test_one_look_a_minute() -> None:
    clock = FakeClock()
    with serving() as authority:
        verifier = authority.verifier(clock)
        verifier.verify(authority.token())
        for minute in range(3):
            for number in range(50):
                assert reason_of(verifier, invented(authority, f"{minute}-{number}")) == "kid_unknown"
            assert authority.key_sets_fetched == minute + 2
            clock.pass_by(60)


def test_a_fresh_set_is_not_fetched_twice_for_the_first_token() -> None:
    with serving() as authority:
        verifier = authority.verifier(FakeClock())
        assert reason_of(verifier, invented(authority)) == "kid_unknown"
        assert authority.key_sets_fetched == 1


def test_many_at_once_are_one_look_and_a_rotation_in_the_crowd_is_found() -> None:
    with serving() as authority, ThreadPoolExecutor(16) as pool:
        verifier = authority.verifier(FakeClock())
        verifier.verify(authority.token())
        authority.publish(key_set("current", "next"))
        found = [pool.submit(verifier.verify, authority.token("next")) for _ in range(16)]
        strange = [pool.submit(reason_of, verifier, invented(authority, f"{n}")) for n in range(16)]
        assert all(each.result() for each in found)
        assert {each.result() for each in strange} == {"kid_unknown"}
        assert authority.key_sets_fetched == 2


def test_a_dead_authority_is_not_hammered_either() -> None:
    clock = FakeClock()
    with serving() as authority:
        verifier = authority.verifier(clock)
        verifier.verify(authority.token())
        authority.pages.clear()
        asked = len(authority.asked)
        for number in range(50):
            with pytest.raises(KeysUnavailable):
                verifier.verify(invented(authority, f"{number}"))
        assert len(authority.asked) == asked + 1


def test_an_invented_name_needs_a_whole_token_around_it() -> None:
    """What can be refused without a key is refused before one is looked for."""
    with serving() as authority:
        verifier = authority.verifier(FakeClock())
        assert reason_of(verifier, token(header={"kid": "invented", "typ": "JWT"})) == "typ_not_allowed"
        assert reason_of(verifier, "nonsense") == "token_malformed"
        assert authority.asked == []
