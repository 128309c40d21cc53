"""A signing key is revoked in one month and again in the next, and the first month is dropped: no attack.

Between the two, servers have written the row of the key again, as they do after eight days, which no event says. After
the drop, the only event of the key that is left is the second one, and the repeated row is older.
"""

from __future__ import annotations

import secrets
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit.model import Decision, Event, EventKind, Named
from authsec_server.audit.rollup import roll_up
from authsec_server.audit.service import prepare_months, record
from authsec_server.db import Database, Tx
from authsec_server.keys import service as keys
from authsec_server.keys.model import Algorithm, NewKey
from authsec_server.revocations import service as revocations
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import Year, midnight

pytestmark = pytest.mark.changes_rows_only


def new_key(_algorithm: Algorithm) -> NewKey:
    return NewKey(kid=secrets.token_urlsafe(32), public_jwk={"kty": "RSA"}, sealed=b"sealed")


def maintain(year: Year) -> None:
    """What servers do with old revocations, each hour."""
    if year.database.read(lambda tx: revocations.old_keys(tx, year.at)):
        year.database.change(lambda tx: revocations.republish(tx, year.at))
    year.database.append(lambda tx: revocations.forget(tx, year.at))


def token(tx: Tx, kid: str, at: datetime) -> Event:
    version = tx.connection.execute(text("SELECT version FROM authority")).scalar_one()
    client = Named(id=tx.connection.execute(text("SELECT id FROM clients")).scalar_one(), name="Helper")
    usual: dict[str, Any] = {"kind": EventKind.TOKEN_ISSUED, "decision": Decision.GRANTED, "request_id": f"req_{1:024}"}
    return Event(**usual, at=at, expires_at=at + timedelta(hours=1), client=client, authority_version=version, kid=kid)


@pytest.mark.soak
@pytest.mark.sqlite_suffices  # test_kind_changed_while_a_drop_lists_its_events.py drops a month on PostgreSQL
def test_a_key_whose_last_token_a_server_ahead_has_dated_is_no_finding(database: Database) -> None:
    """The token is dated into the next month, so the drop leaves it. The revocation after it is dropped."""
    year = Year(database)
    year.do(lambda tx, act: keys.ensure(tx, act, new_key))
    kid = year.database.read(lambda tx: keys.active_kids(tx)[Algorithm.RS256])
    year.at = midnight(9) - timedelta(seconds=40)
    year.database.append(lambda tx: prepare_months(tx, midnight(9)))
    year.database.append(lambda tx: record(tx, token(tx, kid, midnight(9) + timedelta(seconds=10))))
    year.do(lambda tx, act: keys.revoke(tx, act, kid, new_key))
    year.seal(midnight(9) - timedelta(seconds=20))
    year.at = midnight(9) + timedelta(days=9)
    maintain(year)
    year.edit(9)
    year.settle()
    maintain(year)
    assert year.report().findings == ()
    year.drop(9)
    assert year.report().findings == ()  # with the export
    year.files.clear()
    assert year.report().findings == ()  # without it


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("is_revoked_again", [False, True])
def test_a_key_that_is_revoked_again_is_no_finding(database: Database, is_revoked_again: bool) -> None:
    year = Year(database)
    year.do(lambda tx, act: keys.ensure(tx, act, new_key))
    kid = year.database.read(lambda tx: keys.active_kids(tx)[Algorithm.RS256])
    year.at = midnight(9) - timedelta(days=3)
    year.do(lambda tx, act: keys.revoke(tx, act, kid, new_key))
    year.settle()
    year.at = midnight(9) + timedelta(days=6)
    maintain(year)
    year.edit(9)
    if is_revoked_again:
        year.do(lambda tx, act: keys.revoke(tx, act, kid, new_key))
    year.settle()
    roll_up(year.database, year.at)
    maintain(year)
    assert year.report().findings == ()
    year.drop(9)
    assert year.report().findings == ()  # with the export
    year.files.clear()
    assert year.report().findings == ()  # without it, as the next drop checks
