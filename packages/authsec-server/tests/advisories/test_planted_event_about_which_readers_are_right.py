"""Somebody inserts an event that no server writes, but that has the shape of one, and the server seals it.

Readers show the event as it is. If `verify` expected another answer, or failed at its own question, it would end with
status 3 from then on, for good: the event is sealed, and to delete it would be a finding as well. The findings would
name lists and sums that are right.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from audit_answers import LATER, fill, issued
from authsec_server.audit import store
from authsec_server.audit.event_numbers import next_numbers
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.audit.store import event_delegations, events
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from long_runs import some_of
from sqlalchemy import insert

pytestmark = pytest.mark.asks_readers
AT = LATER + timedelta(minutes=11)
NOBODY = {"principal_kind": "administrator", "principal_role": "admin"}
PLANTED: Mapping[str, Mapping[str, Any]] = {
    "a jti that is the request id as well": {"jti": f"req_{1:024}", "request_id": f"req_{1:024}"},
    "a principal without an id": NOBODY | {"principal_id": None, "principal_name": None},
    "a delegation whose id is empty": {"delegations": [{"id": "", "name": "D"}]},
    "a token of no agent": {"client_id": None, "client_name": None, "delegations": [{"id": "d-9", "name": "D"}]},
}


@pytest.mark.sqlite_suffices  # the expected answers are computed in Python
@pytest.mark.parametrize("planted", some_of(PLANTED.values(), each=2), ids=PLANTED)
def test_the_event_gets_no_seal_or_readers_are_right(database: Database, planted: Mapping[str, Any]) -> None:
    log = fill(database)
    row = store.row_of(issued(70, at=AT)) | {"occurrences": 1, "delegations": []} | planted

    def plant(tx: Tx) -> int:
        (number,) = next_numbers(tx.connection, 1, AT)
        tx.connection.execute(insert(events), [row | {"id": number}])
        for each in row["delegations"]:
            tx.connection.execute(insert(event_delegations).values(delegation_id=each["id"], event_id=number))
        return number

    number = database.append(plant)
    keys, later = (
        SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes),
        AT + timedelta(minutes=1),
    )
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: later)
    while sealer.seal():
        pass
    report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=later))
    assert not [each for each in report.findings if not each.startswith(f"Event {number} ")]
