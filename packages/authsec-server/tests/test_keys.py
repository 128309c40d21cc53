"""The verbs of signing keys, on both databases. The keys are made up: no verb looks inside one."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Recorded
from authsec_server.db import Database, Tx
from authsec_server.failures import Conflict, NotPermitted, Unavailable
from authsec_server.keys import service, store
from authsec_server.keys.model import Algorithm, KeyState, NewKey, SigningKey
from authsec_server.principal import LOCAL_OPERATOR, Act, Role

pytestmark = pytest.mark.sqlite_suffices

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
MONTH = timedelta(days=30)
OPERATOR = replace(LOCAL_OPERATOR, role=Role.OPERATOR)


def later(**amount: float) -> datetime:
    return NOW + timedelta(**amount)


def active_kid(tx: Tx) -> str:
    return service.of_algorithm(service.active_kids(tx), Algorithm.RS256)


def made(algorithm: Algorithm) -> NewKey:
    kinds = {Algorithm.RS256: "RSA", Algorithm.ES256: "EC", Algorithm.EDDSA: "OKP"}
    return NewKey(kid=secrets.token_urlsafe(32), public_jwk={"kty": kinds[algorithm]}, sealed=b"sealed")


def at(act: Act, now: datetime) -> Act:
    return replace(act, now=now)


def ensure(database: Database, act: Act) -> None:
    database.change(lambda tx: service.ensure(tx, act, made))


def rotate(database: Database, act: Act, now: datetime, *, force: bool = False) -> SigningKey:
    moved = at(act, now)
    return database.change(lambda tx: service.rotate(tx, moved, made, max_token_lifetime=DAY, force=force))


def by_state(database: Database) -> dict[KeyState, list[str]]:
    keys = database.read(lambda tx: store.in_states(tx.connection, tuple(KeyState)))
    return {state: [key.kid for key in keys if key.state is state] for state in KeyState}


def audit_log(database: Database) -> list[Recorded]:
    return database.read(lambda tx: audit.page(tx, LOCAL_OPERATOR).items)[::-1]


def test_the_first_start_makes_one_key_to_sign_and_one_to_follow(database: Database, act: Act) -> None:
    ensure(database, act)
    states = by_state(database)
    assert [len(states[state]) for state in KeyState] == [1, 1, 0, 0, 0]
    assert database.record(active_kid) == states[KeyState.ACTIVE][0]
    assert [recorded.event.kind for recorded in audit_log(database)] == [EventKind.KEY_CREATED, EventKind.KEY_CREATED]
    ensure(database, act)
    assert by_state(database) == states


def test_without_an_active_key_the_prepared_one_takes_over(database: Database, act: Act) -> None:
    only = made(Algorithm.RS256)
    database.append(lambda tx: store.add(tx.connection, only.prepared(NOW), only.sealed))
    ensure(database, act)
    assert by_state(database)[KeyState.ACTIVE] == [only.kid]
    assert len(by_state(database)[KeyState.PREPARED]) == 1


def test_without_any_key_nothing_is_signed(database: Database, act: Act) -> None:
    with pytest.raises(Unavailable, match="no active signing key"):
        database.record(active_kid)
    with pytest.raises(Unavailable, match="no prepared"):
        rotate(database, act, NOW, force=True)


def test_rotation(database: Database, act: Act) -> None:
    ensure(database, act)
    before = by_state(database)
    signs = rotate(database, act, later(seconds=300))
    after = by_state(database)
    assert after[KeyState.ACTIVE] == before[KeyState.PREPARED] == [signs.kid]
    assert after[KeyState.RETIRED] == before[KeyState.ACTIVE]
    assert len(after[KeyState.PREPARED]) == 1
    rotated, created = audit_log(database)[-2:]
    assert (rotated.event.kind, rotated.event.kid) == (EventKind.KEY_ROTATED, signs.kid)
    assert rotated.event.detail == {"retired": before[KeyState.ACTIVE][0]}
    assert (created.event.kind, created.event.kid) == (EventKind.KEY_CREATED, after[KeyState.PREPARED][0])


def test_a_prepared_key_that_nobody_may_have_seen_yet_does_not_sign(database: Database, act: Act) -> None:
    ensure(database, act)
    before = by_state(database)
    with pytest.raises(Conflict, match="published recently") as refused:
        rotate(database, act, later(seconds=200.5))
    assert refused.value.remedy.startswith("Rotate in 100 seconds, or force the rotation")
    assert by_state(database) == before
    assert rotate(database, act, later(seconds=200.5), force=True).kid == before[KeyState.PREPARED][0]


@pytest.mark.parametrize(("age", "due"), [(29, False), (30, True)])
def test_rotation_by_age(database: Database, act: Act, age: int, due: bool) -> None:
    ensure(database, act)
    before = by_state(database)
    aged = at(act, later(days=age))
    database.change(lambda tx: service.rotate_if_due(tx, aged, made, max_age=MONTH, max_token_lifetime=DAY))
    assert (by_state(database)[KeyState.ACTIVE] == before[KeyState.PREPARED]) is due


def test_a_retired_key_is_published_until_its_last_token_is_dead(database: Database, act: Act) -> None:
    ensure(database, act)
    signed = database.record(active_kid)
    rotate(database, act, later(hours=1))
    almost, over = at(act, later(hours=26, seconds=-1)), at(act, later(hours=26))
    database.change(lambda tx: service.expire(tx, almost))
    assert signed in {key.kid for key in database.read(service.published)}
    assert database.read(lambda tx: store.sealed(tx.connection, signed)) is not None
    database.change(lambda tx: service.expire(tx, over))
    assert signed not in {key.kid for key in database.read(service.published)}
    assert database.read(lambda tx: store.sealed(tx.connection, signed)) is None
    assert by_state(database)[KeyState.GONE] == [signed]
    assert (audit_log(database)[-1].event.kind, audit_log(database)[-1].event.kid) == (EventKind.KEY_GONE, signed)


def test_all_keys_are_listed_for_whoever_may_look(database: Database, act: Act) -> None:
    ensure(database, act)
    listed = database.read(
        lambda tx: service.every(tx, replace(act, principal=replace(LOCAL_OPERATOR, role=Role.VIEWER)))
    )
    assert {key.state for key in listed} == {KeyState.ACTIVE, KeyState.PREPARED}


def test_keys_are_the_business_of_administrators(database: Database, act: Act) -> None:
    ensure(database, act)
    by_operator = replace(act, principal=OPERATOR)
    for verb in (
        lambda tx: service.ensure(tx, by_operator, made),
        lambda tx: service.rotate(tx, by_operator, made, max_token_lifetime=DAY, force=True),
        lambda tx: service.rotate_if_due(tx, by_operator, made, max_age=MONTH, max_token_lifetime=DAY),
        lambda tx: service.expire(tx, by_operator),
        lambda tx: service.revoke(tx, by_operator, service.active_kids(tx)[Algorithm.RS256], made),
    ):
        with pytest.raises(NotPermitted):
            database.change(verb)
