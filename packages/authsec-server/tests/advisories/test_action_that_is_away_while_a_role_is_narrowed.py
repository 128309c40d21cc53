"""Raw SQL deletes one action of a role, waits until somebody narrows the role, and puts the action back.

An edit replaces all actions of the role. The row that is away is in none of its digests: the product of the rows is
multiplied only by what the edit has found. Once the row is back, the product is the one that the event records. The
sealed event says which actions the role has, `verify` does not compare that with `role_actions`, and new tokens get
the action that an operator took away.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import read_checkpoint
from authsec_server.audit.sealing.verifying import verify
from authsec_server.roles import service as roles
from sealed_estate import sealed_estate

pytestmark = pytest.mark.changes_rows_only


@pytest.mark.sqlite_suffices  # test_rows_that_no_event_changed.py compares tables with events on PostgreSQL
def test_a_role_has_the_actions_that_its_newest_event_says_or_it_is_found(estate: Any) -> None:
    sealed = sealed_estate(estate)
    actions = ["customers:delete", "customers:read", "customers:write"]
    estate.do(lambda tx, act: roles.edit(tx, act, "support", revision=1, changes={"actions": actions}))

    def execute(*statements: str) -> None:
        for each in statements:
            estate.database.append(lambda tx, each=each: tx.connection.exec_driver_sql(each) and None)

    def narrow(tx: Any, act: Any) -> Any:
        return roles.edit(tx, act, "support", revision=2, changes={"actions": ["customers:read"]})

    row = "action = 'customers:delete'"
    execute(f"CREATE TABLE kept AS SELECT * FROM role_actions WHERE {row}", f"DELETE FROM role_actions WHERE {row}")
    estate.do(narrow)
    execute("INSERT INTO role_actions SELECT * FROM kept", "DROP TABLE kept")
    sealed.seal()
    said = estate.events("role.edited")[-1].detail["after"]["actions"]
    held = estate.see(lambda tx, act: roles.get(tx, act, "support")).actions
    signed = estate.see(lambda tx, _: store.last_signed(tx.connection))
    outside = read_checkpoint(signed, sealed.keys.by_kid())  # covers the edit
    now = estate.act.now + timedelta(minutes=10)
    report = estate.database.check(lambda tx: verify(tx, sealed.keys.by_kid(), [outside], now=now))
    assert list(held) == list(said) or report.findings, (held, said)
