"""By how much the clock of whoever signs a token may differ from ours: to the second, at every door that reads one.

Half a minute for tokens that prove who calls, or let a caller in; a whole one for a person who signs in, whose provider
nobody here can ask about its clock.
"""

from __future__ import annotations

from typing import Any

import jose_doors as doors
import pytest
from authsec.jose import PrivateKey
from jose_doors import KEYS, Door


def check(door: Door) -> None:
    """Whether each gets in, just before and just beyond the difference, and a minute off."""
    most = door.leeway
    assert door.at(exp=1 - most)
    assert not door.at(exp=-most)
    assert door.at(exp=-60) is (most > 60)
    for name in ("iat", "nbf"):
        assert door.at(**{name: most})
        assert not door.at(**{name: most + 1})
        assert door.at(**{name: 60}) is (most >= 60)
    assert door.at(), "and it was no other reason"


@pytest.mark.parametrize("kind", doors.MAKERS)
def test_workloads_have_half_a_minute(house: Any, kind: str) -> None:
    its = doors.workload(house(), kind, KEYS["EC"])
    assert its.leeway == 30
    check(its)


def test_agents_with_a_key_pair_have_half_a_minute(house: Any) -> None:
    its = doors.key_pair(house(), KEYS["EC"])
    assert its.leeway == 30
    check(its)
    assert its.at(exp=300 + 30), "five minutes are the longest life of an assertion, by a clock that is ahead"
    assert not its.at(exp=300 + 31)


def test_machines_that_enrol_have_half_a_minute(house: Any) -> None:
    its = doors.enrolment(house(local_operator=True), PrivateKey.generate_ec)
    assert its.leeway == 30
    check(its)
    assert its.at(exp=300 + 30)
    assert not its.at(exp=300 + 31)


def test_delegation_tokens_have_half_a_minute_at_an_api() -> None:
    its = doors.api(KEYS["RSA"])
    assert its.leeway == 30
    check(its)


def test_id_tokens_have_a_minute(provider: Any) -> None:
    its = doors.sign_in(provider, KEYS["RSA"])
    assert its.leeway == 60
    check(its)
    assert its.at(iat=-60), "before the sign-in began, by a clock that is behind"
    assert not its.at(iat=-61)
