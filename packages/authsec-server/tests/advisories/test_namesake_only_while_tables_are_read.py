"""Somebody changes an event. While `verify` reads the tables, a cast or function of theirs shows what was there before.

`verify` looks for such objects before it reads and at its end. In between, it copies the tables: `COPY` calls none.
"""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.database_check import DatabaseCheck
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import open_database
from long_runs import some_of

WAYS = {
    "a cast of times": (
        "UPDATE events SET at = at + interval '0.5 seconds' WHERE id = (SELECT min(id) FROM events)",
        "CREATE FUNCTION evil.told(timestamptz) RETURNS text LANGUAGE plpgsql STRICT AS $$ BEGIN RETURN format('%s',"
        " CASE WHEN $1 = (SELECT at FROM events ORDER BY id LIMIT 1) THEN $1 - interval '0.5 seconds' ELSE $1 END);"
        " END $$",
        "CREATE CAST (timestamptz AS text) WITH FUNCTION evil.told(timestamptz)",
        "DROP CAST (timestamptz AS text)",
    ),
    "a cast of numbers, for the digest of a table": (
        "UPDATE delegations SET max_duration = 3600",
        "CREATE FUNCTION evil.told(integer) RETURNS text LANGUAGE plpgsql STRICT AS"
        " $$ BEGIN RETURN format('%s', CASE $1 WHEN 3600 THEN 60 ELSE $1 END); END $$",
        "CREATE CAST (integer AS text) WITH FUNCTION evil.told(integer)",
        "DROP CAST (integer AS text)",
    ),
}


@pytest.mark.parametrize("way", some_of(WAYS, each=2))
def test_verify_reads_what_is_stored(postgres_url: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    change, make, add, remove = WAYS[way]
    run, end = DatabaseCheck.run, DatabaseCheck.end

    with (
        closing(open_database(postgres_url)) as database,
        psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as attacker,
    ):

        def run_then_add(check: DatabaseCheck, *, deep: bool = False) -> None:
            run(check, deep=deep)
            attacker.execute(add.encode())

        def remove_then_end(check: DatabaseCheck) -> None:
            attacker.execute(remove.encode())
            end(check)

        log = fill(database)
        for statement in ("CREATE SCHEMA evil", "GRANT USAGE ON SCHEMA evil TO PUBLIC", make, change):
            attacker.execute(statement.encode())
        monkeypatch.setattr(DatabaseCheck, "run", run_then_add)
        monkeypatch.setattr(DatabaseCheck, "end", remove_then_end)
        try:
            report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER))
        finally:
            attacker.execute("DROP SCHEMA evil CASCADE")
    assert report.findings
    assert not any("cast" in each for each in report.findings)
