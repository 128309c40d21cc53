"""Somebody inserts very many seals of high numbers into PostgreSQL, which no checkpoint covers.

A server that takes an event number looks for the highest sealed number, and skips each seal that no checkpoint covers:
one after the other, for each token. A million rows, inserted within four seconds, make a token eighty times slower.
The sealer skips them twice in each pass, and deletes a thousand: five minutes for a million, days for thirty millions,
with which no token is issued within the five seconds that its statement may take.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from time import perf_counter

import pytest
from audit_answers import LATER, fill, issued
from authsec_server.audit import service as audit
from authsec_server.db import Database

AT = LATER + timedelta(minutes=11)
PLANTED = (
    "INSERT INTO sealed_events (position, event_id, hash)"
    " SELECT 1000000000 + n, 1000000000 + n, '\\x00' FROM generate_series(1, 300000) n"
)


def seconds(work: Callable[[], object]) -> float:
    begun = perf_counter()
    work()
    return perf_counter() - begun


@pytest.mark.xfail(strict=True, reason="the highest sealed number is searched among all planted seals")
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_planted_seals_make_no_token_slower(database: Database) -> None:
    fill(database)
    event = replace(issued(70, at=AT), delegations=())

    def record() -> float:
        return min(seconds(lambda: database.append(lambda tx: audit.record(tx, event))) for _ in range(9))

    record()
    before = record()
    database.append(lambda tx: tx.connection.exec_driver_sql(PLANTED) and None)
    assert record() < 5 * before
