"""The month of a recorded restore is dropped, and with it once went the record: no check named the restore any more."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing.restores import Restore, restores_in, sign_restore
from authsec_server.audit.service import record_act
from authsec_server.db import Database

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import Year


@pytest.mark.sqlite_suffices
def test_a_restore_is_named_after_its_month_was_dropped(database: Database) -> None:
    year = Year(database)
    restore = Restore(at=year.at, authority_version=100, size=7, checkpoints_until=year.at)
    detail = {"record": sign_restore(restore, issuer="https://a", key=year.sealing_keyring.signing_key())}
    year.do(lambda tx, act: record_act(tx, act, EventKind.AUTHORITY_RESTORED, detail=detail))
    year.settle()
    year.edit(9)
    year.drop(9)
    report = year.report()
    assert (report.findings, [each.record for each in report.restores]) == ((), [restore])
    assert database.read(lambda tx: restores_in(tx.connection, year.keys())) == [restore]
