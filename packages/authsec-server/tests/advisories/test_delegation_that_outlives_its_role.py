"""Raw SQL takes a live delegation away while somebody deletes its role, and puts the delegation back.

The server refuses to delete a role that a live delegation uses, and found none. SQLite checks foreign keys only for
connections that ask for it. Afterwards the delegation names a role that does not exist. If token requests failed by
this delegation, the agent would get no token at all.
"""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import read_checkpoint
from authsec_server.audit.sealing.verifying import verify
from authsec_server.clients import service as clients
from authsec_server.delegations import service as delegations
from sealed_estate import sealed_estate


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_delegation_without_a_role_is_found(estate: Any, database_url: str) -> None:
    sealed, path = sealed_estate(estate), database_url.partition("///")[2]

    def execute(*statements: str) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        for each in statements:
            connection.execute(each)
        connection.close()

    execute(
        "CREATE TABLE kept AS SELECT * FROM delegations",
        "CREATE TABLE kept_too AS SELECT * FROM delegation_audiences",
        "DELETE FROM delegation_audiences",
        "DELETE FROM delegations",
    )
    estate.do(lambda tx, act: delegations.delete_role(tx, act, "support"))
    execute(
        "INSERT INTO delegations SELECT * FROM kept",
        "INSERT INTO delegation_audiences SELECT * FROM kept_too",
        "DROP TABLE kept",
        "DROP TABLE kept_too",
    )
    sealed.seal()
    signed = estate.see(lambda tx, _: store.last_signed(tx.connection))
    outside = read_checkpoint(signed, sealed.keys.by_kid())
    later = estate.act.now + timedelta(minutes=10)
    report = estate.database.check(lambda tx: verify(tx, sealed.keys.by_kid(), [outside], now=later))
    helper = estate.see(lambda tx, act: clients.get(tx, act, "helper"))
    assert "Rows of delegations refer to rows of roles that are missing." in report.findings
    assert estate.see(lambda tx, _: delegations.of_client(tx, helper.id)) == []
