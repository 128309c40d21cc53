"""Whoever has the sealing key drops old months with a record that has no digests of the counts, and changes the counts.

`verify` once took such a record for one of an older version, and compared no counts of those months.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing.dropped import sign_drop
from authsec_server.audit.store import events
from authsec_server.db import Database
from sqlalchemy import delete

sys.path.insert(0, str(Path(__file__).parent))
from test_audit_log_dropped_unseen import Old


@pytest.mark.sqlite_suffices
def test_a_record_without_digests_excuses_nothing(database: Database) -> None:
    old = Old(database)
    assert old.kept is not None
    claims = {"before": "2026-08", "by": "ann", "export_sha256": "00" * 32, "checkpoint": old.kept.signed}
    claims |= {"events": 8, "numbers": [2, 9], "places": [[1, 8]]}
    signed = sign_drop(claims, at=old.now, issuer="https://a", key=old.key)
    old.record(old.now, EventKind.EVENTS_DROPPED, detail={"record": signed})
    old.settle()
    found = old.findings_after(delete(events).where(events.c.id.between(2, 9)))
    assert "Event 2 was dropped: only its seal is left." in found
