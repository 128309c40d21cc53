"""Somebody uses a stolen account or admin key, and sets back when it was last used: it seems forgotten in the lists."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from authsec_server.accounts import admin_keys, administrators, sessions
from authsec_server.accounts.model.administrators import Administrator
from authsec_server.accounts.model.sessions import Arrival, BrowserCaller, SignInMethod
from sealed_estate import Sealed, sealed_estate

pytestmark = pytest.mark.sqlite_suffices

CALLER = BrowserCaller(request_id="req_000000000000000000000001", address="192.0.2.9")
COLUMNS = {"administrators": "last_sign_in_at", "admin_keys": "last_used_at"}


@pytest.fixture
def sealed(estate: Any) -> Sealed:
    """An estate to which an administrator and an admin key have come several times, half a minute apart.

    Another administrator has come first to one server, then to one whose clock is a month behind.
    """
    its = sealed_estate(estate)
    act = estate.act
    ann, bob = (
        estate.see(lambda tx, _, n=name: administrators.get(tx, act, f"{n}@example.com")) for name in ("ann", "bob")
    )
    key = estate.see(lambda tx, _: admin_keys.get(tx, act, "ann-key"))

    def come(person: Administrator, now: datetime) -> None:
        arrival = Arrival(caller=CALLER, now=now, token_bytes=act.token_bytes)
        estate.database.change(lambda tx: sessions.begin(tx, arrival, person, SignInMethod.LINK))

    for seconds in (0, 30, 60, 90):
        now = act.now + timedelta(seconds=seconds)
        come(ann, now)
        estate.database.append(
            lambda tx, at=now: admin_keys.signed_in(tx, key, at, "req_000000000000000000000002", "192.0.2.9")
        )
    come(bob, act.now)
    come(bob, act.now - timedelta(days=30))
    assert its.findings() == (), "events of the last moments have no seal"
    its.seal()
    assert its.findings() == ()
    return its


def utc(sealed: Sealed, time: str) -> str:
    return f"CAST('{time}+00' AS timestamptz)" if sealed.estate.database.dialect == "postgresql" else f"'{time}'"


@pytest.mark.parametrize("name", COLUMNS)
def test_a_changed_time_of_last_use_is_found(sealed: Sealed, name: str) -> None:
    column = COLUMNS[name]
    of_used = f"WHERE {column} IS NOT NULL"
    _, found = sealed.after(f"UPDATE {name} SET {column} = NULL {of_used}")
    assert f"and {name}.{column} of" in found
    assert "is empty." in found
    earlier = utc(sealed, "2026-01-01 00:00:00.000000")
    _, found = sealed.after(f"UPDATE {name} SET {column} = {earlier} {of_used}")
    assert "is a sign-in at" in found
    later = utc(sealed, "2026-11-25 12:03:00.000000")
    _, found = sealed.after(f"UPDATE {name} SET {column} = {later}")
    assert found.count("but no event is a sign-in at that time.") == 2
