"""Old months are dropped, and somebody inserts a revocation that is dated before the cut: its event may be dropped.

Readers go by the version of a row, not by its time. So the row would end the tokens of every event that is left: also
of the last events of the old month, which were sealed after it, and of the first events after the cut.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit.model import EventKind, Named
from authsec_server.audit.sealing.exporting import export
from authsec_server.audit.sealing.restores import Restore, sign_restore
from authsec_server.db import Database, metadata
from long_runs import some_of
from sqlalchemy import insert, text

sys.path.insert(0, str(Path(__file__).parent))
from test_audit_log_dropped_unseen import AUGUST, JUNE, Old

pytestmark = pytest.mark.sqlite_suffices

VERSION = 7  # of the tokens that are left


@pytest.fixture
def old(database: Database) -> Old:
    """A log that lost June and July; its newest token is of November."""
    its = Old(database)
    its.run(text("UPDATE authority SET version = 50"))
    its.record(its.now, authority_version=VERSION, kid="c1")
    its.settle()
    its.drop(its.lines)
    its.settle()
    assert its.report().findings == ()
    return its


def _row(at: datetime, version: int, kind: str = "client", sequence: int = 1, subject: str = "c1") -> Any:
    row = {"sequence": sequence, "subject_kind": kind, "subject_id": subject, "version": version, "at": at}
    return insert(metadata.tables["revocations"]).values(row)


@pytest.mark.parametrize("kind", ["client", "key"])
@pytest.mark.parametrize("at", some_of([JUNE, AUGUST - timedelta(seconds=1)], each=2))
def test_a_row_that_ends_a_token_that_is_left_is_found(old: Old, kind: str, at: datetime) -> None:
    found = old.findings_after(_row(at, VERSION + 1, kind))
    assert f"The row 1 of revocations revoked the tokens of the {kind} c1, but no event says so." in found


def test_a_row_whose_event_was_dropped_is_not_found(old: Old) -> None:
    assert old.findings_after(_row(JUNE, VERSION)) == ""


@pytest.mark.soak
def test_a_row_that_ends_a_token_from_around_the_cut_is_found(old: Old) -> None:
    """A token of the old month's last second was sealed in the new month, so the drop left it."""
    just_before, just_after = AUGUST - timedelta(seconds=1), AUGUST + timedelta(minutes=2)
    left = {"kid": "k1", "authority_version": 3}
    old.record(just_after, **left)
    change = {"decision": None, "expires_at": None, "client": Named(id="c2", name="Other"), "authority_version": 4}
    old.record(AUGUST + timedelta(hours=1), EventKind.CLIENT_DISABLED, **change)
    old.settle()
    assert "row 1 of revocations" in old.findings_after(_row(just_before, 4))
    old.record(just_before, **left)
    old.settle()
    assert "row 1 of revocations" in old.findings_after(_row(just_before, 5))
    of_key = _row(AUGUST + timedelta(days=9), 6, "key", subject="k1")
    assert "row 1 of revocations" in old.findings_after(of_key)
    assert "row 1 of revocations" not in old.findings_after(_row(just_before, 3))


def test_files_with_all_dropped_events_explain_each_row(database: Database) -> None:
    """The thief of the sealing key drops a single event, and plants a row that is dated before this cut."""
    old = Old(database)
    at, kid = old.now, "U" * 43
    restore = Restore(at=at, authority_version=14, size=1, checkpoints_until=at, revoked_keys=(kid,))
    record = sign_restore(restore, issuer="https://a", key=old.key)
    usual: dict[str, Any] = {"decision": None, "expires_at": None}
    old.record(at, EventKind.CLIENT_DISABLED, authority_version=13, **usual)
    usual |= {"client": None, "detail": {"record": record}}
    old.record(at, EventKind.AUTHORITY_RESTORED, authority_version=14, **usual)
    rows = _row(at, 13), _row(at, 14, "key", sequence=2, subject=kid)
    old.run(*rows, text("UPDATE authority SET version = 50"))
    old.settle()
    old.now = at.replace(month=12, day=2)
    old.settle()
    lines = list(export(database))
    old.drop(lines, before=at.replace(month=12, day=1, hour=0, minute=0))
    old.settle()
    assert old.report(lines).findings == ()
    old.run(_row(at, 14, sequence=3))
    planted = "The row 3 of revocations revoked the tokens of the client c1, but no event says so."
    assert (old.report().findings, old.report(lines).findings) == ((), (planted,))


def test_a_revoked_signing_key_has_a_row_though_its_event_was_dropped(old: Old) -> None:
    """Servers forget rows after eight days, but never the last row of a signing key: an API may read an old file."""
    key = {"kid": "k1", "state": "revoked", "public_jwk": {}, "created_at": JUNE}
    revoked = insert(metadata.tables["signing_keys"]).values(key)
    assert "The signing key k1 was revoked, but revocations has no row" in old.findings_after(revoked)
    assert "signing key k1" not in old.findings_after(revoked, _row(JUNE, VERSION, "key", subject="k1"))


@pytest.mark.parametrize("before", some_of([timedelta(seconds=1), timedelta(hours=1)], each=2))
def test_a_row_that_ends_a_token_numbered_above_the_dropped_events_is_found(old: Old, before: timedelta) -> None:
    """No dropped event ended the token, whatever the clocks say: each dropped event has a lower number."""
    old.record(AUGUST + timedelta(seconds=1), authority_version=2)
    assert "row 1 of revocations" in old.findings_after(_row(AUGUST - before, 3))
