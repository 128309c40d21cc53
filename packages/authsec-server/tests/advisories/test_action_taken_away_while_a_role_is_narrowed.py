"""Raw SQL deletes an action of a role while an honest edit that removes the action waits for its row, and puts it back.

The edit has read the role with the action. When it locks the rows of `role_actions`, PostgreSQL has that row no longer,
so nothing of the edit's `DELETE` concerns it. The event says that the role lost the action, and its digests have the
other rows only. Afterwards the row is back as it was: agents get new tokens with the action that was taken away, the
product of the rows is the same, and the digests match. The role of the servers may do this; no right of a superuser
is needed.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import read_checkpoint
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import open_database
from authsec_server.failures import Failure
from authsec_server.roles import service as roles
from sealed_estate import sealed_estate

sys.path.insert(0, str(Path(__file__).parent))
from test_row_changed_while_a_change_waits import change_while_held

ROW = "action = 'customers:delete'"


@pytest.mark.soak  # test_row_taken_away_while_a_change_waits.py has other rows
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_action_that_was_taken_from_a_role_stays_away_or_is_found(estate: Any, database_url: str) -> None:
    sealed, other = sealed_estate(estate), open_database(database_url)

    def execute(*statements: str) -> None:
        for each in statements:
            other.append(lambda tx, each=each: tx.connection.exec_driver_sql(each) and None)

    def narrow() -> None:
        with suppress(Failure):  # an edit that is refused has no effect
            changes = {"actions": ["customers:read"]}
            estate.do(lambda tx, act: roles.edit(tx, act, "support", revision=1, changes=changes))

    execute(f"CREATE TABLE kept AS SELECT * FROM role_actions WHERE {ROW}")
    change_while_held(other, f"DELETE FROM role_actions WHERE {ROW}", narrow)
    sealed.seal()
    signed = estate.see(lambda tx, _: store.last_signed(tx.connection))
    outside = read_checkpoint(signed, sealed.keys.by_kid())  # covers the edit
    execute("INSERT INTO role_actions SELECT * FROM kept", "DROP TABLE kept")
    other.close()
    narrowed = [each for each in estate.events("role.edited") if each.detail["after"]["actions"] == ["customers:read"]]
    held = estate.see(lambda tx, act: roles.get(tx, act, "support")).actions
    now = estate.act.now + timedelta(minutes=10)
    report = estate.database.check(lambda tx: verify(tx, sealed.keys.by_kid(), [outside], now=now))
    assert not narrowed or "customers:delete" not in held or report.findings, (held, report)
