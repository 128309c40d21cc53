"""Somebody gives the row in which an agent's refusals of a minute are counted to another agent.

The server adds further refusals to the row that has their key, and compares no other column. So later refusals are
counted under the other agent, and no event says that the agent was refused. The row is sealed when it is five minutes
old, so it is not sealed late, and `verify` finds nothing.
"""

from __future__ import annotations

import secrets
from datetime import timedelta

import pytest
from audit_answers import ANN, LATER, fill
from authsec_server.audit import refusal_counts
from authsec_server.audit import service as audit
from authsec_server.audit.filters import EventFilter
from authsec_server.audit.model import EventKind, Named, Refusal, Tally
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.audit.store import events
from authsec_server.db import Database
from authsec_server.failures import Unavailable
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from sqlalchemy import select, update

pytestmark = pytest.mark.changes_rows_only

MINUTE = LATER + timedelta(minutes=12)
OTHER = {"client_id": "c-9", "client_name": "Another"}


def refusal(client: str) -> dict[Refusal, Tally]:
    its = Refusal(
        kind=EventKind.TOKEN_REFUSED, reason="rate_limited", address="192.0.2.1", client=Named(id=client, name="A")
    )
    return {its: Tally(count=3, request_id="req_000000000000000000000001")}


def test_refusals_are_counted_under_the_agent_that_was_refused(database: Database) -> None:
    log = fill(database)
    database.append(lambda tx: refusal_counts.count(tx.connection, refusal("c-1"), MINUTE, tx.event_key))
    newest = select(events.c.id).order_by(events.c.id.desc()).limit(1).scalar_subquery()
    database.append(
        lambda tx: tx.connection.execute(update(events).where(events.c.id == newest).values(OTHER)) and None
    )
    refused = False
    try:
        database.append(lambda tx: refusal_counts.count(tx.connection, refusal("c-1"), MINUTE, tx.event_key))
    except Unavailable:
        refused = True
    keys, later = (
        SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes),
        MINUTE + timedelta(hours=1),
    )
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: later)
    while sealer.seal():
        pass
    wanted = EventFilter(client_id="c-1", since=MINUTE)
    shown = database.read(lambda tx: audit.page(tx, ANN, wanted).items)
    report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=later))
    assert refused or report.findings or [each.count for each in shown] == [3]
