"""A superuser writes a value of 60 MB, and adds a constraint that says that no value is so long.

Before `verify` copies a table, it asks whether a value is too long. With `constraint_exclusion = on` in the database,
PostgreSQL's planner believes the constraint, and answers without a look at the rows. So `verify` takes several times
the value's size of memory; a value may have nearly 1 GB. The constraint would be a finding, if `verify` lived so long.
"""

from __future__ import annotations

import tracemalloc

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, Tx

LENGTH = 60_000_000


class _Undone(Exception):
    pass


@pytest.mark.soak  # test_rows_of_gigabytes.py has long values without it
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_long_value_behind_a_constraint_costs_no_memory(database: Database) -> None:
    log = fill(database)
    peaks: list[int] = []

    def attempt(tx: Tx) -> None:
        run = tx.connection.exec_driver_sql
        texts = run(
            "SELECT quote_ident(attname) FROM pg_attribute JOIN pg_type t ON t.oid = atttypid WHERE attrelid ="
            " 'events'::regclass AND attnum > 0 AND typname IN ('text', 'varchar')"
        ).scalars()
        short = " AND ".join(f"octet_length({name}::text) < 9" for name in texts)
        run(f"UPDATE events SET detail = repeat('x', {LENGTH}) WHERE id = 4")
        run(f"ALTER TABLE events_default ADD CONSTRAINT short CHECK ({short}) NOT VALID")
        run("UPDATE pg_constraint SET convalidated = true WHERE conname = 'short'")
        run(
            "UPDATE pg_class SET relname = relname WHERE oid = 'events_default'::regclass"
        )  # this session reads it again
        run("SET LOCAL constraint_exclusion = on")  # as ALTER DATABASE … SET does for each session
        tracemalloc.start()
        verify(tx, log.keys, [log.checkpoint], now=LATER)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        raise _Undone

    with pytest.raises(_Undone):
        database.append(attempt)
    assert peaks[0] < LENGTH // 4, f"{peaks[0] / 1e6:,.0f} MB"
