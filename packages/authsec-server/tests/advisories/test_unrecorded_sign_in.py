"""The audit log cannot be written (somebody filled the disk first), and now an administrator comes in unseen.

Whoever comes in or is turned away is in the audit log before the answer; when that cannot be, nobody comes in.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authsec_server.accounts import store
from sqlalchemy import text

PATH = "/authsec/api/v1/keys"


def admin_key(house: Callable[..., Any]) -> dict[str, str]:
    made = house(local_operator=True).door().post("/authsec/api/v1/admin-keys", json={"name": "ops", "role": "admin"})
    return {"Authorization": f"Bearer {made.json()['key']}"}


def test_without_a_record_nobody_comes_in(house: Callable[..., Any], tmp_path: Path) -> None:
    right, its = admin_key(house), house()
    door = its.door("192.0.2.1")
    with sqlite3.connect(tmp_path / "authsec.sqlite3") as other:
        other.execute("CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    other.close()
    statuses = [door.get(PATH, headers=headers).status_code for headers in (right, right, {}, right)]
    assert all(status >= 500 for status in statuses), statuses
    with sqlite3.connect(tmp_path / "authsec.sqlite3") as other:
        other.execute("DROP TRIGGER full")
    other.close()
    assert door.get(PATH, headers=right).status_code == 200
    (sign_in,) = [recorded for recorded in its.events() if recorded.event.kind == "admin.sign_in"]
    assert sign_in.event.address == "192.0.2.1", "the record that failed was still owed"


def test_nor_does_a_person_come_in(entrance: Any) -> None:
    """By a password, by a link: the session is of the same transaction as its record."""
    ann = entrance.first()
    entrance.database.append(lambda tx: tx.connection.execute(text("ALTER TABLE events RENAME TO away")))
    with pytest.raises(Exception, match=r"events|written"):
        entrance.sign_in.by_password("ann@example.com", entrance.password, entrance.caller())
    entrance.database.append(lambda tx: tx.connection.execute(text("ALTER TABLE away RENAME TO events")))
    assert entrance.database.read(lambda tx: store.open_sessions(tx.connection, ann.administrator.id)) == [ann.session]
    assert entrance.sign_in.by_password("ann@example.com", entrance.password, entrance.caller())
