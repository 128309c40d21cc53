"""A signing key was revoked, and somebody inserts another row of that key: the revocation seems to be of another time.

Servers write the row of a revoked key again, but only once all tokens of that key have expired.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.audit.model import EventKind
from authsec_server.audit.service import record_act
from authsec_server.clients import service as clients
from authsec_server.keys import service as keys
from authsec_server.keys.model import Algorithm, NewKey
from authsec_server.revocations import service as revocations
from long_runs import some_of
from sealed_estate import Sealed, sealed_estate

pytestmark = pytest.mark.sqlite_suffices


def new_key(_algorithm: Algorithm) -> NewKey:
    return NewKey(kid=secrets.token_urlsafe(32), public_jwk={"kty": "RSA"}, sealed=b"sealed")


@pytest.fixture
def sealed(estate: Any) -> Sealed:
    """An estate whose first signing key is revoked."""
    its = sealed_estate(estate)
    estate.do(lambda tx, act: keys.ensure(tx, act, new_key))
    kid = estate.see(lambda tx, _: keys.active_kids(tx)[Algorithm.RS256])
    estate.do(lambda tx, act: keys.revoke(tx, act, kid, new_key))
    its.seal()
    assert its.findings() == ()
    return its


COPY = "INSERT INTO revocations SELECT sequence + {number}, subject_kind, subject_id, version + {more}, {at}"
COPY += " FROM revocations WHERE subject_kind = 'key'"
BEHIND = "UPDATE revocations SET sequence = sequence + 1000 WHERE subject_kind = 'key'"
EARLIER, LATER = "2026-11-25 11:00:00.000000", "2026-11-25 13:00:00.000000"


@pytest.mark.parametrize("at", [EARLIER, LATER])
@pytest.mark.parametrize("more", some_of([0, 1]))
@pytest.mark.parametrize("number", [-1, 1])
def test_another_row_of_the_key_is_found(sealed: Sealed, number: int, more: int, at: str) -> None:
    stored = f"CAST('{at}+00' AS timestamptz)" if sealed.estate.database.dialect == "postgresql" else f"'{at}'"
    _, found = sealed.after(BEHIND, COPY.format(number=number, more=more, at=stored))
    assert "of revocations revoked the tokens of the key" in found


def test_the_row_that_a_server_writes_again_is_not_found(sealed: Sealed) -> None:
    estate = sealed.estate
    later = estate.act.now + timedelta(days=9)
    estate.database.change(lambda tx: revocations.republish(tx, later))
    estate.database.append(lambda tx: revocations.forget(tx, later))
    estate.act = replace(estate.act, now=later)
    assert [kind for kind, _, _ in estate.endings()] == ["key"]
    assert sealed.findings() == ()


@pytest.mark.parametrize("is_said_again", [False, True])
def test_the_last_row_of_the_key_is_missed_when_others_are_forgotten(sealed: Sealed, is_said_again: bool) -> None:
    """Else the feed names the revoked key no more, and an API with an old key file takes the thief's tokens."""
    estate = sealed.estate
    later = estate.act.now + timedelta(days=10)
    if is_said_again:
        estate.database.change(lambda tx: revocations.republish(tx, later - timedelta(days=1)))
    estate.act = replace(estate.act, now=later)
    estate.do(lambda tx, act: clients.revoke_tokens(tx, act, "helper"))
    sealed.seal()
    estate.database.append(lambda tx: revocations.forget(tx, later))
    assert sealed.findings() == ()
    _, found = sealed.after("DELETE FROM revocations WHERE subject_kind = 'key'")
    assert "was revoked, but revocations has no row for the key" in found


def test_a_row_of_a_key_that_no_event_revoked_is_found(sealed: Sealed) -> None:
    _, found = sealed.after(COPY.format(number=1, more=1, at="at").replace("subject_id,", "'other',"))
    assert "revoked the tokens of the key other, but no event says so" in found


PLANTED = "INSERT INTO revocations SELECT 1000, 'key', 'kid', {version}, {at} FROM events WHERE id = {number}"


@pytest.mark.parametrize("detail", some_of([{"revoked_keys": ["kid"]}, {}, {"record": "e30.e30.AAAA"}]))
def test_an_unsigned_restore_revokes_no_key(sealed: Sealed, detail: dict[str, Any]) -> None:
    """The server seals every event of a valid shape, whoever wrote it."""
    number = sealed.estate.do(lambda tx, act: record_act(tx, act, EventKind.AUTHORITY_RESTORED, detail=detail))
    sealed.seal()
    assert sealed.findings() == ()
    _, found = sealed.after(PLANTED.format(version="authority_version", at="at", number=number))
    assert "revoked the tokens of the key kid, but no event says so" in found
