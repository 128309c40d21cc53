"""Somebody sets the count of an hour to the highest number that its column has, or deletes the row of the roll-up.

`verify` finds both, and `authsec audit rebuild-counts` corrects a count. But a server that starts counts the events
first. On PostgreSQL the sum is beyond the column, so the start ended with an error: no server could start, and no token
was issued.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from audit_answers import ANN, NOW, issued
from authsec_server.app import Runtime, open_authority
from authsec_server.audit import service as audit
from authsec_server.failures import Conflict
from authsec_server.principal import Act
from authsec_server.settings import load_settings
from databases import settings_for
from sqlalchemy import text

pytestmark = pytest.mark.changes_rows_only

HIGHEST = 2**63 - 1
COUNT = (
    "INSERT INTO hourly_counts (hour, kind, reason, occurrences)"
    f" VALUES ('2026-11-25 12:00:00+00', 'token.issued', '', {HIGHEST})"
)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("statement", [COUNT, "DELETE FROM counted"], ids=["the highest count", "no row of progress"])
def test_a_server_starts_whatever_the_counts_are(
    house: Callable[..., Any], database_url: str, tmp_path: Path, statement: str
) -> None:
    settings = settings_for(database_url, tmp_path)
    database = house(**settings).authority.database
    database.append(lambda tx: audit.record(tx, replace(issued(70, at=NOW), delegations=())))
    database.append(lambda tx: tx.connection.execute(text(statement)) and None)
    later = Runtime(now=lambda: NOW + timedelta(hours=1))
    with open_authority(load_settings(data=tmp_path, **settings), runtime=later) as second:
        assert second.liveness.problem() is None
        act = Act(principal=ANN, now=later.now(), request_id="", address="", token_bytes=later.token_bytes)
        with pytest.raises(Conflict, match="cannot be counted"):
            second.dropper.rehearse(act, NOW.replace(day=1), [])
