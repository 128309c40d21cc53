"""Raw SQL writes the rows as an edit will write them, with the revision that the edit will have, and undoes it later.

Raw SQL deletes the action that an operator is about to take away, and writes all values of the other actions that the
edit will write. If an edit marked its rows with the revision, raw SQL could do so: the next revision is known. The edit
would then write exactly the rows that are there, so none of its digests would have `role_actions`. Afterwards raw SQL
restores the rows from before, which are the last ones in the chain. So an edit marks its rows with a random id.

The event of the edit is sealed, and an outside checkpoint covers the event. The event says that the role no longer has
the action. But agents get new tokens with the action, and the old tokens stay valid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import read_checkpoint
from authsec_server.audit.sealing.verifying import verify
from authsec_server.delegations import editing
from authsec_server.roles import service as roles
from long_runs import mostly_on_sqlite
from sealed_estate import sealed_estate

pytestmark = pytest.mark.changes_rows_only


@dataclass(frozen=True)
class Edit:
    """An honest edit of rows of a table, the rows that it takes away, and the state if the edit has no effect."""

    table: str
    taken: str
    edit: Callable[[Any, Any, Any], Any]
    is_undone: Callable[[Any, Any], bool]


EDITS = {
    "a role": Edit(
        "role_actions",
        "action = 'customers:delete'",
        lambda tx, act, _: roles.edit(tx, act, "support", revision=1, changes={"actions": ["customers:read"]}),
        lambda tx, act: "customers:delete" in roles.get(tx, act, "support").actions,
    ),
    "a copy of an audience, by which an API's callers are listed": Edit(
        "delegation_audiences",
        "audience = 'erp'",
        lambda tx, act, terms: editing.edit(tx, act, "third", {"audiences": ("crm",)}, terms, revision=1),
        lambda tx, _: bool(
            tx.connection.exec_driver_sql("SELECT 1 FROM delegation_audiences WHERE audience = 'erp'").all()
        ),
    ),
}


@pytest.mark.parametrize("its", mostly_on_sqlite(EDITS, "a role"), ids=EDITS)
def test_an_edit_has_its_effect_or_its_undoing_is_found(estate: Any, its: Edit) -> None:
    sealed = sealed_estate(estate)
    estate.delegate(slug="third", audiences=("crm", "erp"))
    sealed.seal()

    def execute(*statements: str) -> None:
        for each in statements:
            estate.database.append(lambda tx, each=each: tx.connection.exec_driver_sql(each) and None)

    execute(
        f"CREATE TABLE kept AS SELECT * FROM {its.table}",
        f"DELETE FROM {its.table} WHERE {its.taken}",
        f"UPDATE {its.table} SET edit_id = '2'",  # the next revision: nobody knows the id of the next edit
    )
    estate.do(lambda tx, act: its.edit(tx, act, estate.terms))
    assert not estate.see(its.is_undone)
    execute(f"DELETE FROM {its.table}", f"INSERT INTO {its.table} SELECT * FROM kept", "DROP TABLE kept")
    sealed.seal()
    assert estate.see(its.is_undone)
    signed = estate.see(lambda tx, _: store.last_signed(tx.connection))
    outside = read_checkpoint(signed, sealed.keys.by_kid())  # covers the edit
    now = estate.act.now + timedelta(minutes=10)
    report = estate.database.check(lambda tx: verify(tx, sealed.keys.by_kid(), [outside], now=now))
    assert report.findings != ()
