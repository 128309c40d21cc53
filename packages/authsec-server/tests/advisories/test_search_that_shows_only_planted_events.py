"""Somebody inserts events after the seal of a request's event, with the id of the request as their `jti`.

A search for a text once looked for a `jti` first, and had a limit for each of both. So the console's search for the
request showed eight planted events, and its link to all results was a list of planted events. The form of the text now
decides what it is, and an event with another `jti` gets no seal.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from authsec_server.audit import service as audit
from authsec_server.audit.model import Decision, EventKind
from authsec_server.audit.store import events
from authsec_server.db import Database
from planted_events import plant

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import JTI, Year

REQUEST = f"req_{1:024}"
REFUSED = {"decision": Decision.DENIED, "reason": "rate_limited"}


@pytest.mark.parametrize("kind", [EventKind.TOKEN_REVOKED, EventKind.TOKEN_REFUSED])
def test_a_search_for_a_request_shows_its_event(database: Database, kind: EventKind) -> None:
    year = Year(database)
    year.issue()
    year.settle()
    its = {"kind": kind, "jti": REQUEST, "expires_at": None, "decision": None}
    its |= REFUSED if kind is EventKind.TOKEN_REFUSED else {}
    numbers = plant(database, year.at, events.c.jti == JTI, 9, request_id=lambda place: f"req_{place + 100:024}", **its)
    year.settle()
    found = database.read(lambda tx: audit.search(tx, year.act, REQUEST))
    assert [each.event.jti for each in found] == [JTI]
    assert [each for each in year.report().findings if each.startswith(f"Event {numbers[0]} ")]


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("kind", [EventKind.CLIENT_EDITED, EventKind.TOKEN_REFUSED])
def test_only_events_of_a_token_have_its_id(database: Database, kind: EventKind) -> None:
    year = Year(database)
    year.issue()
    year.settle()
    its = REFUSED if kind is EventKind.TOKEN_REFUSED else {"detail": {"revision": 1, "before": {}, "after": {}}}
    its |= {"kind": kind, "expires_at": None, "request_id": f"req_{100:024}"}
    (number,) = plant(database, year.at, events.c.jti == JTI, **({"decision": None} | its))
    year.settle()
    assert [each for each in year.report().findings if each.startswith(f"Event {number} ")]
