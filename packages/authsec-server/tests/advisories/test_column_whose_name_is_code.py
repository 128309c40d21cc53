"""On PostgreSQL, raw SQL adds a column whose name is the call of a function, and says that a newer AuthSec added it.

A change reads such columns, so that the digests of both versions agree. With the name as it is in the statement,
PostgreSQL would run the function between the write and the digest of the change. Afterwards, raw SQL removes all of it.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.audit.sealing.verifying import verify
from authsec_server.roles import service as roles
from sealed_estate import sealed_estate

CODE = "planted.f()"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("is_named", [True, False])
def test_a_narrowed_role_does_not_keep_its_action(estate: Any, is_named: bool) -> None:
    sealed, database = sealed_estate(estate), estate.database

    def execute(*statements: str) -> None:
        database.append(lambda tx: [tx.connection.exec_driver_sql(each) for each in statements] and None)

    def verified() -> tuple[str, ...]:
        now = estate.act.now + timedelta(hours=1)
        return tuple(database.check(lambda tx: verify(tx, sealed.keys.by_kid(), now=now)).findings)

    before = database.read(lambda tx: tx.connection.exec_driver_sql("SELECT later_columns FROM authority").scalar_one())
    execute(
        "CREATE SCHEMA planted",
        "CREATE FUNCTION planted.f() RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.role_actions"
        " (role_id, action, edit_id) SELECT id, 'customers:delete', '' FROM public.roles WHERE slug = 'support'"
        " ON CONFLICT DO NOTHING; RETURN 'x'; END $$",
        f"ALTER TABLE roles ADD COLUMN \"{CODE}\" text DEFAULT 'x'",
    )
    if is_named:
        execute(f"UPDATE authority SET later_columns = '{json.dumps({'roles': {CODE: 'x'}})}'")
    role = estate.see(lambda tx, act: roles.get(tx, act, "support"))
    changes = {"actions": ["customers:read"]}
    estate.do(lambda tx, act: roles.edit(tx, act, "support", revision=role.revision, changes=changes))
    assert any(CODE in each for each in verified()), "verify reads the column as well"
    execute(
        f'ALTER TABLE roles DROP COLUMN "{CODE}"',
        "DROP SCHEMA planted CASCADE",
        f"UPDATE authority SET later_columns = '{before}'",
    )
    sealed.seal()
    assert estate.see(lambda tx, act: roles.get(tx, act, "support")).actions == ("customers:read",)
    assert (
        database.check(lambda tx: verify(tx, sealed.keys.by_kid(), now=estate.act.now + timedelta(hours=1))).findings
        == ()
    )
