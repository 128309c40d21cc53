"""Somebody changes rows, plants an event that says so, and keeps the event from its seal until it has done its work.

Refusals that are counted by the minute wait for their seal. So an event with a `count_key` and a time that is renewed
got none, ever, and `verify` believed it as one of the last moments. A drop then took its digests into the signed record
of the drop, and the planted event was deleted again.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit.model import DIGESTS, EventKind
from authsec_server.audit.sealing.count_rebuild import foresee_rebuild
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.service import record_act
from authsec_server.audit.store import events
from authsec_server.clients import service
from authsec_server.db import Database, Tx
from authsec_server.failures import Conflict
from sealed_estate import sealed_estate
from sqlalchemy import update

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import Year

pytestmark = pytest.mark.sqlite_suffices

REFUSED = {"kind": "token.refused", "decision": "denied"}
DIGESTED = {"detail": {DIGESTS: {"clients": ["x", "y"]}}}
PLANTED: Mapping[str, Mapping[str, Any]] = {
    "of a kind that nobody counts": {"kind": "client.edited", "decision": "denied"},
    "a granted one": {"kind": "token.refused", "decision": "granted"},
    "with digests of tables": REFUSED | DIGESTED,
    "within a minute": REFUSED | {"seconds": 7},
}


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_a_counted_event_that_no_server_counts_is_found(estate: Any, planted: Mapping[str, Any]) -> None:
    sealed = sealed_estate(estate)
    database, values = estate.database, dict(planted)
    at = estate.act.now + timedelta(minutes=9, seconds=values.pop("seconds", 0))

    def plant(tx: Tx) -> int:
        number = record_act(tx, replace(estate.act, now=at), EventKind.TOKEN_REFUSED)
        wanted = update(events).where(events.c.id == number).values(count_key="planted", **values)
        tx.connection.execute(wanted)
        return number

    number = database.append(plant)
    sealed.seal()
    assert any(each.startswith(f"Event {number} has a form that AuthSec does not write") for each in sealed.findings())


class Overtaken(Sealer):
    """A sealer, after whose work somebody writes an event: it has no seal yet when a drop reads the audit log."""

    def __init__(self, year: Year) -> None:
        key, known = year.sealing_keyring.signing_key, year.keys
        super().__init__(year.database, issuer="https://a", signing_key=key, keys=known, now=lambda: year.at)
        self._year, self._overtaken = year, False

    def seal(self) -> bool:
        more = super().seal()
        if not more and not self._overtaken:
            self._overtaken = True
            self._year.edit_at(self._year.at)
        return more


def test_a_drop_believes_no_event_without_a_seal(database: Database) -> None:
    year = Year(database)
    honest = year.dropper
    year.dropper = replace(honest, sealer=Overtaken(year))
    with pytest.raises(Conflict, match=r"nothing is dropped\. Only event \d+, which has no seal, says that clients"):
        year.drop(7)
    year.dropper, year.files = honest, []
    year.drop(7)  # which seals what waits
    assert (year.report().findings, year.report().skipped) == ((), ())


def test_no_count_is_made_anew_from_what_only_an_unsealed_event_says(estate: Any) -> None:
    sealed = sealed_estate(estate)
    owner = {"owner": "nobody"}
    estate.do(lambda tx, act: service.edit(tx, act, "payments", revision=3, changes=owner))
    later = replace(estate.act, now=estate.act.now + timedelta(minutes=10))
    with pytest.raises(Conflict, match=r"its events cannot be counted\. Only event"):
        foresee_rebuild(estate.database, later, sealed.keys.by_kid())
    sealed.seal()
    assert not foresee_rebuild(estate.database, later, sealed.keys.by_kid()).rows["daily_uses"]
