"""Somebody inserts the event of a token into the request of a genuine refusal or change.

Readers once showed the event of a token before all others of the request, whatever the order of sealing. So `audit
show` showed a granted token first where a request had been refused. The events now come in the order of sealing, and
`verify` names a token beside another event: no server records both in one request.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Refusal, Tally
from authsec_server.audit.store import events
from authsec_server.clients import service as clients
from authsec_server.db import Database
from authsec_server.principal import LOCAL_OPERATOR
from planted_events import plant

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import JTI, Year

REQUEST = f"req_{100:024}"
OTHER = "f" * 32


@pytest.mark.soak
@pytest.mark.parametrize("covered", ["a refusal", "a change"])
def test_the_genuine_event_comes_first_and_the_token_is_found(database: Database, covered: str) -> None:
    year = Year(database)
    year.issue()
    if covered == "a change":
        act = replace(year.act, request_id=REQUEST)
        database.change(lambda tx: clients.revoke_tokens(tx, act, "helper"))
    else:
        tally = {Refusal(address="192.0.2.7", reason="rate_limited"): Tally(count=1, request_id=REQUEST)}
        database.append(lambda tx: audit.count_refusals(tx, tally, year.at))
    year.settle()
    version = database.read(lambda tx: tx.version)
    its = {"request_id": REQUEST, "jti": OTHER, "authority_version": version}
    (number,) = plant(database, year.at, events.c.jti == JTI, **its)
    year.settle()
    genuine, token = database.read(lambda tx: audit.of_request(tx, LOCAL_OPERATOR, REQUEST))
    assert (genuine.event.kind, token.id) != (EventKind.TOKEN_ISSUED, genuine.id)
    assert year.report().findings == (
        f"Event {number} and event {genuine.id} are of the request {REQUEST}, which issued a token: one of the two was "
        "inserted.",
    )


@pytest.mark.sqlite_suffices
def test_the_issue_of_a_token_after_its_revocation_is_found(database: Database) -> None:
    """Of a token, readers show the event of the issue first. Its genuine event may have been dropped."""
    year = Year(database)
    year.issue()
    its = {"kind": EventKind.TOKEN_REVOKED, "jti": OTHER, "expires_at": None, "decision": None}
    year.settle()
    (revoked,) = plant(database, year.at, events.c.jti == JTI, request_id=f"req_{100:024}", **its)
    (issued,) = plant(database, year.at, events.c.jti == JTI, request_id=f"req_{101:024}", jti=OTHER)
    year.settle()
    said = f"Event {issued} and event {revoked} are the issue and an earlier revocation of the token {OTHER}"
    assert [each for each in year.report().findings if each.startswith(said)]
