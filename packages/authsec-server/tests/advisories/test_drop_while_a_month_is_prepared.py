"""A server makes the partition of a month while an operator drops old months. Nobody attacks.

The server measures the default partition first, which locks it, and then locks the table above. The drop locks the
table, and then its partitions. If each waited for the other, PostgreSQL would end one of them: the drop would say that
the database is unreachable. A drop at the first minute of a month would meet this. So both take one more lock first.
"""

from __future__ import annotations

from datetime import datetime
from threading import Event, Thread
from typing import Any

import pytest
from audit_answers import LATER, fill
from authsec_server.audit import partitions
from authsec_server.audit import service as audit
from authsec_server.db import Database, Tx
from sqlalchemy import true

MAY = datetime.fromisoformat("2026-05-03T00:00:00+00:00")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_drop_and_a_new_month_wait_in_turn(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(database)
    database.append(lambda tx: partitions.prepare_months(tx.connection, MAY, ahead=0))
    measured, dropping, failures = Event(), Event(), list[Exception]()
    measure = partitions._can_be_moved

    def measure_and_wait(*arguments: Any) -> bool:
        can_be_moved = measure(*arguments)
        measured.set()
        dropping.wait(5)
        Event().wait(0.5)  # until the drop waits for the default partition
        return can_be_moved

    def drop(tx: Tx) -> bool:
        measured.wait(5)
        dropping.set()
        return partitions.drop_partition(tx.connection, "2026-06", true())

    def attempt(work: Any) -> None:
        try:
            database.append(work)
        except Exception as error:  # noqa: BLE001 - whichever of them PostgreSQL ends
            failures.append(error)

    monkeypatch.setattr(partitions, "_can_be_moved", measure_and_wait)
    threads = [Thread(target=attempt, args=(work,)) for work in (lambda tx: audit.prepare_months(tx, LATER), drop)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
