"""A superuser stores octets that are no UTF-8 as text. PostgreSQL sends them, and the driver refuses them.

A cast from `bytea` to `text` without a function lets any octets in, and is dropped afterwards. Then `verify` ends with
a traceback, and its findings are lost: here, an event that was deleted. In `authority`, no server reads the database
any more, and `verify` ends with status 0. On SQLite, both are findings.
"""

from __future__ import annotations

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, Tx
from long_runs import some_of

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
BAD = r"('\xff'::bytea::text)"
PLACES = {
    "an event": f"UPDATE events SET address = {BAD} WHERE id = 4",
    "a role": f"UPDATE roles SET description = {BAD}",
    "a checkpoint": f"INSERT INTO checkpoints SELECT size + 1000, at, {BAD} FROM checkpoints LIMIT 1",
    "a count": f"UPDATE hourly_counts SET reason = {BAD} WHERE ctid = (SELECT min(ctid) FROM hourly_counts)",
    "a last use": f"UPDATE last_uses SET subject_id = {BAD} WHERE ctid = (SELECT min(ctid) FROM last_uses)",
    "the name of a table": f"UPDATE pg_class SET relname = {BAD}::name WHERE oid = 'public.spare'::regclass",
    "change_id of the authority": f"UPDATE authority SET change_id = {BAD}",
    "issuer of the authority": f"UPDATE authority SET issuer = {BAD}",
}


class _Undone(Exception):
    pass


@pytest.mark.parametrize("place", some_of(PLACES, each=8))
def test_octets_that_are_no_text_are_a_finding(database: Database, place: str) -> None:
    assert found(database, place)


@pytest.mark.soak
@pytest.mark.parametrize("place", some_of(PLACES, each=8))
def test_octets_that_are_no_text_hide_no_event_that_was_deleted(database: Database, place: str) -> None:
    assert any("Event 5" in each for each in found(database, place, "DELETE FROM events WHERE id = 5"))


def found(database: Database, place: str, *more: str) -> tuple[str, ...]:
    """What `verify` finds after the change and further statements, which are undone."""
    log = fill(database)
    reports: list[Report] = []

    def attempt(tx: Tx) -> None:
        for statement in (
            "SET LOCAL allow_system_table_mods = on",
            "CREATE TABLE public.spare ()",
            *(f"CREATE CAST (bytea AS {name}) WITHOUT FUNCTION" for name in ("text", "varchar")),
            PLACES[place],
            *(f"DROP CAST (bytea AS {name})" for name in ("text", "varchar")),
            *(["DROP TABLE public.spare"] if "table" not in place else []),
            *more,
        ):
            tx.connection.exec_driver_sql(statement)
        reports.append(verify(tx, log.keys, [log.checkpoint], now=LATER))
        raise _Undone

    with pytest.raises(_Undone):
        database.append(attempt)
    return reports[0].findings
