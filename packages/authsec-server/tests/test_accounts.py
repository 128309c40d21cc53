"""Admin keys, on both databases."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from authsec_server.accounts import admin_key_store, admin_keys
from authsec_server.accounts.model.admin_keys import AdminKey, KeyRefusal, expiry, is_admin_key, new_admin_key
from authsec_server.accounts.model.secret import hashed
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named
from authsec_server.db import Database
from authsec_server.failures import Conflict, Invalid, NotFound, NotPermitted
from authsec_server.principal import LOCAL_OPERATOR, Act, PrincipalKind, Role
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.sqlite_suffices


def create(
    database: Database, act: Act, name: str = "ci", role: Role = Role.ADMIN, life: timedelta | None = None
) -> tuple[AdminKey, str]:
    return database.change(lambda tx: admin_keys.create(tx, act, name=name, role=role, life=life))


def find(database: Database, text: str) -> AdminKey | None:
    return database.read(lambda tx: admin_keys.find(tx, text))


def as_role(act: Act, role: Role) -> Act:
    return replace(act, principal=replace(LOCAL_OPERATOR, role=role))


@given(st.binary(min_size=32, max_size=32))
def test_the_text_of_a_key(secret: bytes) -> None:
    text = new_admin_key(lambda length: secret[:length])
    assert re.fullmatch(r"authsec_[A-Za-z0-9_-]{43}", text)
    assert is_admin_key(text)
    assert re.fullmatch(r"[0-9a-f]{64}", hashed(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "authsec_",
        "authsec_" + "a" * 42,
        "authsec_" + "a" * 44,
        "AUTHSEC_" + "a" * 43,
        "authsec_" + "ä" * 43,
        "authsec_" + "a" * 43 + "\n",
        " authsec_" + "a" * 43,
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln",
    ],
)
def test_what_is_no_key(text: str) -> None:
    assert not is_admin_key(text)


def test_a_key_is_found_by_its_text_and_kept_as_a_hash(database: Database, act: Act) -> None:
    key, text = create(database, act, "ci", Role.OPERATOR, timedelta(days=90))
    assert find(database, text) == key
    assert find(database, text[:-1] + ("A" if text[-1] != "A" else "B")) is None
    assert (key.role, key.expires_at) == (Role.OPERATOR, act.now + timedelta(days=90))
    row = database.read(lambda tx: tx.connection.execute(admin_key_store.admin_keys.select()).one())
    assert row.key_sha256 == hashed(text)
    assert text.removeprefix("authsec_") not in repr(row)
    principal = key.principal()
    assert (principal.kind, principal.id, principal.name) == (PrincipalKind.ADMIN_KEY, key.id, "ci")
    assert principal.role is Role.OPERATOR


def test_its_creation_and_end_are_in_the_audit_log_without_the_secret(database: Database, act: Act) -> None:
    key, text = create(database, act)
    database.change(lambda tx: admin_keys.revoke(tx, act, key.id))
    revoked, created = database.read(lambda tx: audit.page(tx, act.principal).items)
    assert (created.event.kind, revoked.event.kind) == (EventKind.ADMIN_KEY_CREATED, EventKind.ADMIN_KEY_REVOKED)
    assert created.event.subject == revoked.event.subject == Named(id=key.id, name="ci")
    assert created.event.detail == {"role": "admin"}
    assert text not in repr(created)
    assert hashed(text) not in repr(created)


def test_a_key_that_ends(database: Database, act: Act) -> None:
    key, text = create(database, act, life=timedelta(hours=1))
    assert key.refusal(act.now + timedelta(minutes=59)) is None
    assert key.refusal(act.now + timedelta(hours=1)) is KeyRefusal.EXPIRED
    ended = database.change(lambda tx: admin_keys.revoke(tx, act, key.id))
    assert ended.refusal(act.now) is KeyRefusal.REVOKED
    assert find(database, text) == ended
    later = replace(act, now=act.now + timedelta(minutes=5))
    again = database.change(lambda tx: admin_keys.revoke(tx, later, key.id))
    assert again == ended, "the time of the first act stays"


def test_a_name_is_never_given_twice(database: Database, act: Act) -> None:
    key, _ = create(database, act)
    with pytest.raises(Conflict, match="key 'ci' already exists"):
        create(database, act, " ci ")
    database.change(lambda tx: admin_keys.revoke(tx, act, key.id))
    with pytest.raises(Conflict, match="perhaps as a revoked key"):
        create(database, act)


@pytest.mark.parametrize("name", ["", " ", "a\0b", "a\x1b[31mb", "x" * 121])
def test_a_name_that_is_none(database: Database, act: Act, name: str) -> None:
    with pytest.raises(Invalid) as refused:
        create(database, act, name)
    assert refused.value.field == "name"


def test_how_long_a_key_may_live(act: Act) -> None:
    assert expiry(None, act.now) is None
    for good in (timedelta(minutes=1), timedelta(days=3650)):
        assert expiry(good, act.now) == act.now + good
    for bad in (timedelta(0), timedelta(seconds=59), timedelta(days=3651), timedelta(days=-1)):
        with pytest.raises(Invalid):
            expiry(bad, act.now)


@pytest.mark.parametrize("key_id", ["", "ci", "\0", "6f1d2a34-0000-4000-8000-000000000001", "x" * 10_000])
def test_a_key_that_is_not_there(database: Database, act: Act, key_id: str) -> None:
    with pytest.raises(NotFound):
        database.change(lambda tx: admin_keys.revoke(tx, act, key_id))


def test_pages_by_name(database: Database, act: Act) -> None:
    for name in ("charlie", "alpha", "bravo"):
        create(database, act, name)
    first, following = database.read(lambda tx: admin_keys.page(tx, act, limit=2))
    assert ([key.name for key in first], following) == (["alpha", "bravo"], "bravo")
    rest, end = database.read(lambda tx: admin_keys.page(tx, act, after="bravo", limit=2))
    assert ([key.name for key in rest], end) == (["charlie"], None)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_only_administrators_make_and_end_keys(database: Database, act: Act, role: Role) -> None:
    key, _ = create(database, act)
    lesser = as_role(act, role)
    with pytest.raises(NotPermitted):
        create(database, lesser, "mine", Role.VIEWER)
    with pytest.raises(NotPermitted):
        database.change(lambda tx: admin_keys.revoke(tx, lesser, key.id))
    assert [found.name for found in database.read(lambda tx: admin_keys.page(tx, lesser))[0]] == ["ci"]


def test_the_last_use_is_written_at_most_once_a_minute(database: Database, act: Act) -> None:
    key, text = create(database, act)
    for seconds, written in [(0, 0), (59, 0), (60, 60), (90, 60)]:
        now = act.now + timedelta(seconds=seconds)
        database.append(
            lambda tx, now=now: admin_keys.signed_in(tx, key, now, "req_000000000000000000000001", "192.0.2.1")
        )
        found = find(database, text)
        assert found is not None
        assert found.last_used_at == act.now + timedelta(seconds=written)


def test_refusals_are_counted_by_the_minute(database: Database, act: Act) -> None:
    key, _ = create(database, act)

    def refuse(why: KeyRefusal, request_id: str, key: AdminKey | None = None) -> None:
        database.append(lambda tx: admin_keys.refused(tx, why, act.now, request_id, "192.0.2.1", key=key))

    refuse(KeyRefusal.UNKNOWN, "req_000000000000000000000001")
    refuse(KeyRefusal.UNKNOWN, "req_000000000000000000000002")
    refuse(KeyRefusal.REVOKED, "req_000000000000000000000003", key)
    refused = [
        (recorded.event.reason, recorded.count, recorded.event.request_id, recorded.event.subject)
        for recorded in database.read(lambda tx: audit.page(tx, act.principal).items)
        if recorded.event.kind is EventKind.ADMIN_SIGN_IN_REFUSED
    ]
    assert refused == [
        ("admin_key_revoked", 1, "req_000000000000000000000003", Named(id=key.id, name="ci")),
        ("admin_key_unknown", 2, "req_000000000000000000000001", None),
    ]
