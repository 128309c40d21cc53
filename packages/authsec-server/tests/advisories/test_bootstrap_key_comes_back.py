"""The bootstrap key leaks, somebody revokes it, and the next restart makes it an admin's again, of the same file.

What is known by its hash stays what it is, whatever stands in the file: revoked, expired, or with a smaller role.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.accounts import admin_keys
from authsec_server.accounts.admin_keys import bootstrap_key
from authsec_server.accounts.model.admin_keys import AdminKey, KeyRefusal, new_admin_key
from authsec_server.db import Database
from authsec_server.principal import THE_SERVER, Act, Role
from authsec_server.settings import Settings

pytestmark = pytest.mark.sqlite_suffices

Start = Callable[..., AdminKey]


@pytest.fixture
def start(database: Database, act: Act, tmp_path: Path) -> Start:
    """A server starts, so much later, with this text in its file."""

    def starting(text: str, **later: float) -> AdminKey:
        file = tmp_path / "bootstrap.key"
        file.write_text(text)
        file.chmod(0o600)
        its = replace(act, principal=THE_SERVER, now=act.now + timedelta(**later))
        key = bootstrap_key(Settings(bootstrap_key_file=file), database, its)
        assert key is not None
        return key

    return starting


@pytest.fixture
def text() -> str:
    return new_admin_key(secrets.token_bytes)


def all_keys(database: Database, act: Act) -> list[AdminKey]:
    return database.read(lambda tx: admin_keys.page(tx, act))[0]


def test_a_revoked_one_stays_revoked(start: Start, text: str, database: Database, act: Act) -> None:
    first = start(text)
    database.change(lambda tx: admin_keys.revoke(tx, act, "bootstrap"))
    again = start(text, hours=1)
    assert (again.id, again.refusal(act.now)) == (first.id, KeyRefusal.REVOKED)
    assert len(all_keys(database, act)) == 1


def test_an_expired_one_stays_expired(start: Start, text: str, database: Database, act: Act) -> None:
    first = start(text)
    for days in (1, 2, 400):
        again = start(text, days=days)
        assert again == first
        assert again.refusal(act.now + timedelta(days=days)) is KeyRefusal.EXPIRED
    assert len(all_keys(database, act)) == 1


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_a_smaller_key_is_not_made_an_admins(start: Start, role: Role, database: Database, act: Act) -> None:
    """The key of a dashboard was put where the bootstrap key belongs: whoever had it would administer."""
    made, text = database.change(lambda tx: admin_keys.create(tx, act, name="dashboard", role=role))
    assert start(text) == made
    assert [(key.name, key.role) for key in all_keys(database, act)] == [("dashboard", role)]


def test_over_http_with_the_file_still_there(house: Callable[..., Any], tmp_path: Path, text: str) -> None:
    file = tmp_path / "bootstrap.key"
    file.write_text(text)
    file.chmod(0o600)
    its = house(bootstrap_key_file=file)
    door = its.door(Authorization=f"Bearer {text}")
    assert door.post("/authsec/api/v1/admin-keys/bootstrap/revoke").status_code == 200
    door = house(bootstrap_key_file=file).door(Authorization=f"Bearer {text}")
    assert door.get("/authsec/api/v1/roles").status_code == 401
