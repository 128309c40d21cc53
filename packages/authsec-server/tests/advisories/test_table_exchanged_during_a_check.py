"""Somebody with SQL puts a genuine copy in the place of a forged table while `verify` reads, and removes the copy."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.database_check import DatabaseCheck
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import open_database
from long_runs import some_of


@pytest.mark.parametrize("table", some_of(["events", "events_default", "revocations", "roles"], each=4))
def test_no_table_can_be_moved_once_the_check_has_begun(
    postgres_url: str, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, refused = DatabaseCheck.run, list[str]()

    def run_then_move(check: DatabaseCheck, *, deep: bool = False) -> None:
        run(check, deep=deep)
        with psycopg.connect(postgres_url.replace("+psycopg", "")) as attacker:
            attacker.execute("SET lock_timeout = '100ms'")
            attacker.execute("CREATE SCHEMA hidden")
            try:
                attacker.execute(f"ALTER TABLE public.{table} SET SCHEMA hidden".encode())
            except psycopg.errors.LockNotAvailable as error:
                refused.append(str(error))
            attacker.rollback()

    with closing(open_database(postgres_url)) as database:
        log = fill(database)
        monkeypatch.setattr(DatabaseCheck, "run", run_then_move)
        report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER))
    assert report.findings == ()
    assert len(refused) == 1
