"""Somebody uses a stolen account or admin key, and plants a sign-in of an earlier day that the server seals.

The planted event has the highest number. The last use must not be earlier than any sign-in, whatever the numbers say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from authsec_server.accounts import admin_keys, administrators, sessions
from authsec_server.accounts.model.sessions import Arrival, BrowserCaller, SignInMethod
from authsec_server.audit.store import events
from authsec_server.db import Tx
from authsec_server.db.postgresql import PostgreSQL
from long_runs import some_of
from sealed_estate import Sealed, listed, sealed_estate

pytestmark = pytest.mark.sqlite_suffices

CALLER = BrowserCaller(request_id="req_000000000000000000000001", address="192.0.2.9")
WHO = {"administrators": ("administrator", "last_sign_in_at"), "admin_keys": ("admin_key", "last_used_at")}
DAYS = timedelta(days=3)


@pytest.fixture
def sealed(estate: Any) -> Sealed:
    return sealed_estate(estate)


def come(sealed: Sealed, name: str, at: datetime) -> None:
    """Ann signs in, or uses her key."""
    estate = sealed.estate
    if name == "administrators":
        person = estate.see(lambda tx, act: administrators.get(tx, act, "ann@example.com"))
        arrival = Arrival(caller=CALLER, now=at, token_bytes=estate.act.token_bytes)
        estate.database.change(lambda tx: sessions.begin(tx, arrival, person, SignInMethod.LINK))
    else:
        key = estate.see(lambda tx, act: admin_keys.get(tx, act, "ann-key"))
        estate.database.append(
            lambda tx: admin_keys.signed_in(tx, key, at, "req_000000000000000000000002", "192.0.2.9")
        )


def last_use(sealed: Sealed, name: str) -> datetime:
    estate = sealed.estate
    read: Callable[[Tx, Any], datetime | None] = (
        (lambda tx, act: administrators.get(tx, act, "ann@example.com").last_sign_in_at)
        if name == "administrators"
        else (lambda tx, act: admin_keys.get(tx, act, "ann-key").last_used_at)
    )
    found: datetime = estate.see(read)
    return found


def wait(sealed: Sealed, time: timedelta) -> None:
    sealed.estate.act = replace(sealed.estate.act, now=sealed.estate.act.now + time)


@pytest.mark.parametrize("name", some_of(WHO, each=2))
@pytest.mark.parametrize("is_sealed", [True, False])
def test_a_planted_sign_in_explains_no_earlier_last_use(sealed: Sealed, name: str, is_sealed: bool) -> None:
    start = sealed.estate.act.now
    for at in (start, start + DAYS):
        come(sealed, name, at)
    sealed.seal()
    wait(sealed, DAYS + timedelta(minutes=10))
    sealed.seal()
    assert sealed.findings() == ()
    kind, column = WHO[name]
    columns = ", ".join(each.name for each in events.columns if each.name not in {"id", "at"})
    earlier = f"{start + timedelta(seconds=1):%Y-%m-%d %H:%M:%S.%f}"
    utc = f"'{earlier}+00'::timestamptz" if sealed.estate.database.dialect == "postgresql" else f"'{earlier}'"
    statements = (
        f"INSERT INTO events (at, {columns}) SELECT {utc}, {columns} FROM events WHERE id ="
        f" (SELECT max(id) FROM events WHERE kind = 'admin.sign_in' AND principal_kind = '{kind}')",
        f"UPDATE {name} SET {column} = {utc} WHERE {column} IS NOT NULL",
    )
    sealed.estate.database.append(lambda tx: [tx.connection.exec_driver_sql(each) for each in statements] and None)
    if is_sealed:
        sealed.seal()
    (found,) = sealed.findings()
    assert f"is a sign-in at {start + DAYS:%Y-%m-%d %H:%M:%S} UTC, and {name}.{column} of" in found


@pytest.mark.parametrize("name", WHO)
def test_a_server_whose_clock_is_behind_leaves_the_later_time(sealed: Sealed, name: str) -> None:
    now = sealed.estate.act.now
    for at in (now, now - timedelta(hours=3), now - timedelta(seconds=30)):
        come(sealed, name, at)
    assert last_use(sealed, name) == now
    sealed.seal()
    assert sealed.findings() == ()


@pytest.mark.parametrize("name", WHO)
def test_a_server_whose_clock_is_ahead_is_believed_once_its_event_is_sealed(sealed: Sealed, name: str) -> None:
    now = sealed.estate.act.now
    ahead = now + timedelta(hours=3)
    for at in (ahead, now):
        come(sealed, name, at)
    assert last_use(sealed, name) == ahead
    sealed.seal()
    assert sealed.findings() == ()
    come(sealed, name, ahead + timedelta(minutes=2))
    assert last_use(sealed, name) == ahead + timedelta(minutes=2)


@pytest.mark.parametrize("name", WHO)
def test_a_time_that_no_program_can_read_is_found_and_hides_nothing_of_its_person(sealed: Sealed, name: str) -> None:
    _, column = WHO[name]
    no_time = "'infinity'" if isinstance(sealed.estate.database, PostgreSQL) else "'x'"
    by = "ann@example.com" if name == "administrators" else "ann-key"
    before = listed_by(sealed, by)
    answer, found = sealed.after(f"UPDATE {name} SET {column} = {no_time}", asked={"by": by})
    assert answer == before
    assert f"{name}.{column} of" in found
    assert "is not a time that a server writes." in found


def listed_by(sealed: Sealed, name: str) -> list[int]:
    listed_: list[int] = sealed.estate.database.read(lambda tx: listed(tx, {"by": name}))
    return listed_
