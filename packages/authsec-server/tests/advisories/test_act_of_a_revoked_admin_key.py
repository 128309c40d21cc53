"""Raw SQL makes a revoked admin key valid for a moment, and its holder changes the authority meanwhile.

The audit log then says that the key was revoked, and later that the key made a change. `verify` finds a token that was
issued to a disabled agent in the same way, because numbers and versions have one order. An act of a revoked admin key,
or of a disabled administrator, is in the same order, because each change confirms its principal under the lock.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from authsec_server.accounts import admin_keys, administrators
from authsec_server.clients import service as clients
from authsec_server.principal import Role
from sealed_estate import sealed_estate
from sqlalchemy import text


@pytest.mark.sqlite_suffices
def test_a_change_by_a_key_that_was_revoked_before_is_found(estate: Any) -> None:
    sealed = sealed_estate(estate)
    key, _ = estate.do(lambda tx, act: admin_keys.create(tx, act, name="stolen", role=Role.ADMIN))
    estate.do(lambda tx, act: admin_keys.revoke(tx, act, "stolen"))
    sealed.seal()

    def execute(statement: str) -> None:
        estate.database.append(lambda tx: tx.connection.execute(text(statement)) and None)

    revoked_at = "(SELECT revoked_at FROM kept)"
    execute("CREATE TABLE kept AS SELECT revoked_at FROM admin_keys WHERE name = 'stolen'")
    execute("UPDATE admin_keys SET revoked_at = NULL WHERE name = 'stolen'")
    by_key = replace(estate.act, principal=key.principal())
    estate.database.change(lambda tx: clients.disable(tx, by_key, "helper"))
    execute(f"UPDATE admin_keys SET revoked_at = {revoked_at} WHERE name = 'stolen'")
    execute("DROP TABLE kept")
    sealed.seal()
    (found,) = sealed.findings()
    assert f"is an act of the admin key {key.id}, which event" in found


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("is_enabled_again", [False, True])
def test_a_change_by_an_administrator_who_was_disabled_is_found(estate: Any, is_enabled_again: bool) -> None:
    sealed = sealed_estate(estate)
    bob = estate.see(lambda tx, act: administrators.get(tx, act, "bob@example.com"))
    estate.do(lambda tx, act: administrators.disable(tx, act, bob.id))
    if is_enabled_again:
        estate.do(lambda tx, act: administrators.enable(tx, act, bob.id))
    by_bob = replace(estate.act, principal=replace(bob, role=Role.ADMIN).principal(""))
    estate.database.change(lambda tx: clients.disable(tx, by_bob, "helper"))
    sealed.seal()
    found = "".join(sealed.findings())
    assert (f"is an act of the administrator {bob.id}, which event" in found) != is_enabled_again
