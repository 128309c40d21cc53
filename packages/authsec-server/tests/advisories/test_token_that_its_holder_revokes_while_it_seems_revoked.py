"""Raw SQL inserts the revocation of a token, waits until its holder revokes the token, and deletes the row again.

The holder gets the status 200, which says that the token is revoked. If the token seemed revoked and nothing were
written, the token would be live afterwards, and each row would be as a server wrote it. An operator's act is recorded
in the same case.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import read_checkpoint
from authsec_server.audit.sealing.verifying import verify
from authsec_server.tokens.revocation import find_own, revoke_own
from sealed_estate import sealed_estate

sys.path.insert(0, str(Path(__file__).parent))
import pytest
from test_version_set_back_before_a_revocation import JTI, execute, is_live, issue

pytestmark = pytest.mark.changes_rows_only

MARK = (
    "INSERT INTO revocations (sequence, subject_kind, subject_id, version, at)"
    f" SELECT coalesce(max(sequence), 0) + 1, 'token', '{JTI}', 1000000, '2026-11-25 12:00:00.000000' FROM revocations"
)


@pytest.mark.sqlite_suffices  # test_row_taken_away_while_a_change_waits.py revokes on PostgreSQL
def test_a_token_that_its_holder_revoked_is_revoked_or_it_is_found(estate: Any) -> None:
    sealed = sealed_estate(estate)
    issue(estate, JTI)
    execute(estate, MARK)
    now = estate.act.now
    if estate.see(lambda tx, _: find_own(tx, JTI, now)):  # as `SelfRevocation.revoke_own`
        estate.database.change(
            lambda tx: revoke_own(tx, JTI, now, request_id="req_000000000000000000000002", address="")
        )
    execute(estate, f"DELETE FROM revocations WHERE subject_id = '{JTI}' AND version = 1000000")
    sealed.seal()
    signed = estate.see(lambda tx, _: store.last_signed(tx.connection))
    outside = read_checkpoint(signed, sealed.keys.by_kid())
    later = now + timedelta(minutes=10)
    report = estate.database.check(lambda tx: verify(tx, sealed.keys.by_kid(), [outside], now=later))
    assert not is_live(estate) or report.findings
