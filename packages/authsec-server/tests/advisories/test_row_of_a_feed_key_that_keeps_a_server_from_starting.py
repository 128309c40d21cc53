"""Raw SQL inserts one row into `feed_keys` or `sealing_keys`, whose time no program reads.

If a server read no key because of this row, no server would start, and no running server would renew a key.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.audit.sealing.verifying import verify
from authsec_server.keys.feed_keys import FeedKeys
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from sealed_estate import sealed_estate

TIMES = {"sqlite": "'soon'", "postgresql": "'infinity'"}
OCTET = {"sqlite": "x'00'", "postgresql": r"'\x00'"}


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("table", ["feed_keys", "sealing_keys"])
def test_one_row_keeps_no_server_from_starting_and_is_found(estate: Any, table: str) -> None:
    sealed, dialect = sealed_estate(estate), estate.database.dialect
    known = sealed.keys.by_kid()
    planted = f"INSERT INTO {table} VALUES ('x', {OCTET[dialect]}, {TIMES[dialect]})"
    estate.database.append(lambda tx: tx.connection.exec_driver_sql(planted) and None)
    later = estate.act.now + timedelta(minutes=10)
    report = estate.database.check(lambda tx: verify(tx, known, now=later))
    master = MasterKey(bytes(32))
    if table == "feed_keys":
        its: Any = FeedKeys(estate.database, master, max_age=timedelta(days=30), token_bytes=secrets.token_bytes)
    else:
        its = SealingKeys(estate.database, master, token_bytes=secrets.token_bytes)
    its.keep(later)  # as each server does when it starts
    assert f"{table} has the key x, whose time no server writes." in report.findings
