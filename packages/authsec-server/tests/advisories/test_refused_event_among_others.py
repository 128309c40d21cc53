"""Somebody inserts ten events that get no seal, together with another one that should not be noticed.

One pass of the sealer names ten of such events in the server's log, and then takes all of them for named. So the log
never names the others, in no later pass either.
"""

from __future__ import annotations

import secrets
from datetime import timedelta

from audit_answers import LATER, fill, issued
from authsec_server.audit import store
from authsec_server.audit.event_numbers import next_numbers
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.unsealed import MOST_NAMED
from authsec_server.audit.store import events
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from sqlalchemy import insert
from structlog.testing import capture_logs

AT = LATER + timedelta(minutes=11)
PASSES = 5


def plant(tx: Tx) -> list[int]:
    numbers = next_numbers(tx.connection, MOST_NAMED + 1, AT)
    row = store.row_of(issued(70, at=AT)) | {"delegations": [], "occurrences": 0}
    rows = [row | {"id": each, "at": AT + timedelta(milliseconds=place)} for place, each in enumerate(numbers)]
    tx.connection.execute(insert(events), rows)
    return numbers


def test_each_event_that_gets_no_seal_is_named(database: Database) -> None:
    fill(database)
    numbers, now = database.append(plant), AT
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: now)
    with capture_logs() as logs:
        for seconds in range(0, 20 * PASSES, 20):
            now = AT + timedelta(seconds=seconds)
            while sealer.seal():
                pass
    assert {line["number"] for line in logs if "is not sealed" in line["event"]} == set(numbers)
