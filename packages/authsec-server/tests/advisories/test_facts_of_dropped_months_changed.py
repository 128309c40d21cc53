"""Raw SQL changes facts that only dropped events record: when an admin key was last used, or when a feed key was made.

Or it enables an agent for a moment, and only a dropped event says that somebody had disabled the agent. After a drop,
times of dropped months need no event. With the export of all dropped events, `verify` compares the facts as before.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from authsec_server.accounts import admin_keys
from authsec_server.clients import service as clients
from authsec_server.db import Database
from authsec_server.keys.feed_keys import FeedKeys
from authsec_server.keys.master_key import MasterKey
from authsec_server.principal import Role
from long_runs import mostly_on_sqlite

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import Year, noon

pytestmark = pytest.mark.changes_rows_only

CHANGES: dict[str, tuple[Callable[[Year], object], str]] = {
    "the last use of a stolen key is emptied": (
        lambda year: year.run("UPDATE admin_keys SET last_used_at = NULL"),
        "admin_keys.last_used_at of",
    ),
    "a feed key is dated back": (
        lambda year: year.run("UPDATE feed_keys SET created_at = '2026-08-01 12:00:00.000000'"),
        "feed_keys has the key",
    ),
    "a token is issued to a disabled agent": (Year.issue, "issued a token to the client"),
}


@pytest.mark.parametrize(("change", "finding"), mostly_on_sqlite(CHANGES), ids=CHANGES)
def test_the_change_is_found_with_the_export(
    database: Database, change: Callable[[Year], object], finding: str
) -> None:
    year = Year(database)
    feed_keys = FeedKeys(database, MasterKey(bytes(32)), max_age=timedelta(days=30), token_bytes=secrets.token_bytes)
    feed_keys.keep(year.at)
    year.do(lambda tx, act: admin_keys.create(tx, act, name="stolen", role=Role.ADMIN))
    key = database.read(lambda tx: admin_keys.get(tx, year.act, "stolen"))
    database.append(lambda tx: admin_keys.signed_in(tx, key, year.at, "req_000000000000000000000002", "192.0.2.9"))
    year.do(lambda tx, act: clients.disable(tx, act, "helper"))
    year.settle()
    year.at = noon(9)
    year.settle()
    year.drop(9)
    assert year.report().findings == ()
    change(year)
    year.settle()
    assert finding in "".join(year.report().findings)
    year.files.clear()
    assert year.report().findings == (), "an honest drop looks the same without the export"
