"""After a drop, raw SQL deletes the newest revocation, and inserts the revocation of a key that no event names.

Servers delete old revocations, but never the newest one: a token's history has its time of revocation from there.
`verify` once accepted the row of a signing key if no remaining token of the key was newer than the dropped events: a
key that never existed has none. The row needed neither a time before the drop nor a version of dropped events. As the
newest row, it explained why all other rows older than seven days are missing.

With the export of the dropped events, `verify` finds the row. Without the export, the table of signing keys must call
the key revoked, and no event may have the version of the row.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from authsec_server.audit.service import token_issued
from authsec_server.clients import service as clients
from authsec_server.db import Database, Tx
from authsec_server.keys import service as keys
from authsec_server.keys.model import Algorithm
from authsec_server.revocations import service as revocations
from authsec_server.tokens.revocation import revoked

sys.path.insert(0, str(Path(__file__).parent))
from test_key_revoked_again_after_its_row_was_repeated import new_key
from test_live_token_hidden_by_a_revocation_dated_before_a_drop import JTI, findings, issue, kept_checkpoint
from test_rows_changed_around_a_drop import Year, midnight, noon

pytestmark = pytest.mark.changes_rows_only


@pytest.mark.sqlite_suffices  # test_kind_changed_while_a_drop_lists_its_events.py drops a month on PostgreSQL
def test_the_history_of_a_token_has_its_revocation_or_the_row_is_found(database: Database) -> None:
    year = Year(database)
    year.at = noon(9)
    year.settle()
    year.drop(9)
    year.at += timedelta(minutes=20)
    issue(year)
    year.at += timedelta(minutes=1)
    year.do(lambda tx, act: clients.disable(tx, act, "helper"))
    year.settle()
    year.at += timedelta(days=9)
    year.database.append(lambda tx: revocations.forget(tx, year.at))  # as servers do
    year.seal(year.at)
    signed = kept_checkpoint(year)
    assert findings(year, signed) == ()

    def read(tx: Tx) -> list[datetime]:
        issued = token_issued(tx, JTI)
        return list(revoked(tx, [issued] if issued else []).values())

    def times() -> list[datetime]:
        return year.database.read(read)

    before = times()
    assert len(before) == 1
    version = year.database.read(lambda tx: tx.version)
    year.run("DELETE FROM revocations")
    year.run(f"INSERT INTO revocations VALUES (1, 'key', '{'x' * 43}', {version}, '{year.at:%Y-%m-%d %H:%M:%S.%f}')")
    assert times() == before or findings(year, signed)


Row = Callable[[Year, int], str]
"""Returns version and time of a planted row, from the authority version."""
ROWS: dict[str, tuple[bool, Row]] = {
    "of a key that is not revoked, dated before the drop": (
        False,
        lambda _year, _version: "2, '2026-08-01 12:00:00.000000'",
    ),
    "of a revoked key, at the version of another change": (
        True,
        lambda year, version: f"{version}, '{year.at:%Y-%m-%d %H:%M:%S.%f}'",
    ),
}


@pytest.mark.soak
@pytest.mark.sqlite_suffices
@pytest.mark.parametrize(("is_revoked", "row"), ROWS.values(), ids=ROWS)
def test_a_row_of_a_known_key_is_found(database: Database, is_revoked: bool, row: Row) -> None:
    year = Year(database)
    year.do(lambda tx, act: keys.ensure(tx, act, new_key))
    kid = year.database.read(lambda tx: keys.active_kids(tx)[Algorithm.RS256])
    year.at = midnight(9) - timedelta(days=3)
    if is_revoked:
        year.do(lambda tx, act: keys.revoke(tx, act, kid, new_key))
    year.settle()
    year.at = noon(9)
    year.settle()
    year.drop(9)
    year.edit(9)
    signed = kept_checkpoint(year)
    assert findings(year, signed) == ()
    version = year.database.read(lambda tx: tx.version)
    number = 1 + int(is_revoked)
    year.run(f"INSERT INTO revocations VALUES ({number}, 'key', '{kid}', {row(year, version)})")
    assert any(f"The row {number} of revocations revoked" in each for each in findings(year, signed))
