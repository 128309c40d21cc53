"""Raw SQL inserts edits of delegations that name 2,000 delegations and list 2,000 ended subjects.

The ids of such an edit have 80,000 characters. `verify` would store them for each ended subject: 160 MB of the
temporary folder for an event of 280 kB.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from audit_answers import LATER, NOW, fill
from authsec_server.audit.sealing.revocation_check import RevocationCheck
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.store import events
from authsec_server.db import Database, Tx
from sqlalchemy import insert, select

pytestmark = pytest.mark.sqlite_suffices


def test_the_scratch_database_is_not_much_larger_than_the_event(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = fill(database)
    pages = list[int]()
    genuine = RevocationCheck.findings

    def measured(self: RevocationCheck, *arguments: Any) -> Any:
        pages.extend(self._scratch.execute(f"PRAGMA {each}").fetchone()[0] for each in ("page_count", "page_size"))
        return genuine(self, *arguments)

    monkeypatch.setattr(RevocationCheck, "findings", measured)
    edit: Mapping[str, Any] = {
        "id": 5000,
        "at": NOW,
        "delegations": [{"id": f"{n:036d}", "name": ""} for n in range(2000)],
        "detail": {"ended": [{"id": f"{n:x}", "kind": "role"} for n in range(2000)]},
    }

    def insert_edit(tx: Tx) -> None:
        (row,) = tx.connection.execute(select(events).where(events.c.kind == "delegation.edited").limit(1))
        tx.connection.execute(insert(events).values(row._asdict() | edit))

    database.append(insert_edit)
    report = database.read(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=LATER))
    assert report.findings
    size = len(json.dumps(edit, default=str))
    assert pages[0] * pages[1] < 10 * size
