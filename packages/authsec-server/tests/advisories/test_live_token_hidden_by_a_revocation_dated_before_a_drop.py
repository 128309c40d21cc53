"""Raw SQL inserts the revocation of a live token, dated before a drop, at a version of dropped events.

After a drop, `verify` accepts such a row, because the row revokes only tokens of lower versions. A dry run once left a
token out if a row named its `jti`, whatever the version of the row was. So raw SQL could hide any token that was issued
since the drop: the dry run of a revocation said that the agent had no live token.

With the export of the dropped events, `verify` finds the row. Without the export, `verify` names no row.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit.model import Decision, Event, EventKind, Named
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import read_checkpoint
from authsec_server.audit.sealing.given import KeptExport
from authsec_server.audit.sealing.verifying import verify
from authsec_server.audit.service import record
from authsec_server.clients import service as clients
from authsec_server.db import Database
from authsec_server.delegations import live_tokens

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import Year, noon

pytestmark = pytest.mark.changes_rows_only

JTI = "3f0c0000000040008000000000000001"


def issue(year: Year, jti: str = JTI, slug: str = "helper") -> str:
    """Record a token of the agent, and return the agent's id."""
    client = year.database.read(lambda tx: clients.get(tx, year.act, slug))
    token: dict[str, Any] = {
        "kind": EventKind.TOKEN_ISSUED,
        "request_id": f"req_{jti[8:]}",
        "client": Named(id=client.id, name=client.name),
        "decision": Decision.GRANTED,
        "jti": jti,
        "kid": "k",
        "token_sha256": "0" * 64,
        "expires_at": year.at + timedelta(hours=5),
    }
    year.database.record(lambda tx: record(tx, Event(at=year.at, authority_version=tx.version, **token)))
    return client.id


def findings(year: Year, signed: str, *, with_exports: bool = False) -> tuple[str, ...]:
    """What `verify` finds with a checkpoint that was kept elsewhere, without the exports of dropped events or with."""
    outside = read_checkpoint(signed, year.keys())
    given = [KeptExport("old.jsonl", lines) for lines in year.files] if with_exports else []
    return year.database.check(lambda tx: verify(tx, year.keys(), [outside], given, now=year.at)).findings


def kept_checkpoint(year: Year) -> str:
    signed = year.database.read(lambda tx: store.last_signed(tx.connection))
    assert signed is not None
    return signed


@pytest.mark.sqlite_suffices  # test_revocation_pushed_out_of_a_dry_run.py has PostgreSQL
def test_a_dry_run_names_the_live_token_or_the_row_is_found(database: Database) -> None:
    year = Year(database)
    year.at = noon(9)
    year.settle()
    year.drop(9)
    year.at += timedelta(minutes=20)
    client_id = issue(year)
    year.settle()
    signed = kept_checkpoint(year)
    assert findings(year, signed) == ()

    def live() -> int:
        return year.database.read(lambda tx: live_tokens.of_clients(tx, year.at, [client_id], lambda _: True)).live

    assert live() == 1
    at = datetime.fromisoformat("2026-08-01T12:00:00+00:00")
    year.run(f"INSERT INTO revocations VALUES (1, 'token', '{JTI}', 2, '{at:%Y-%m-%d %H:%M:%S.%f}')")
    assert live() == 1 or findings(year, signed)
