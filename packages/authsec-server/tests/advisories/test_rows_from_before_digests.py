"""Raw SQL changes rows between an upgrade and the first change of authority: no event says their digests yet.

The first start of this version records the digests of all tables, and until then `verify` says what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing.trail import Report
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, Tx
from authsec_server.db.schema import canonical_json
from authsec_server.db.table_digests import DIGESTED
from sqlalchemy import text

House = Any


@pytest.fixture
def upgraded(house: Callable[..., House]) -> House:
    """An authority whose changes are all of a version before the digests. Its events are not sealed yet."""
    its = house(local_operator=True)
    its.delegated_name()
    its.authority.database.append(without_digests)
    return its


def without_digests(tx: Tx) -> None:
    tx.connection.execute(text("DELETE FROM table_digests"))
    for number, detail in tx.connection.execute(text("SELECT id, detail FROM events")).all():
        old = {name: value for name, value in json.loads(detail).items() if name != "digests"}
        tx.connection.execute(
            text("UPDATE events SET detail = :old WHERE id = :id"), {"id": number, "old": canonical_json(old)}
        )


def report(its: House) -> Report:
    """Once all is sealed."""
    its.clock.at += timedelta(minutes=10)
    while its.authority.dropper.sealer.seal():
        pass
    database: Database = its.authority.database
    return database.read(lambda tx: verify(tx, its.authority.journal_keys.by_kid(), now=its.clock.now()))


def test_a_check_before_the_first_start_says_what_is_missing(upgraded: House) -> None:
    found = report(upgraded)
    missing = "No event says the digests of the tables yet. Start a server of this version: it records them."
    assert (found.findings, found.skipped) == ((), (missing,))


def test_the_first_start_records_the_digests_of_all_tables(upgraded: House, house: Callable[..., House]) -> None:
    served = house()
    newest = served.events()[-1].event
    assert (newest.kind, set(newest.tables)) == (EventKind.DIGESTS_RECORDED, set(DIGESTED))
    found = report(served)
    assert (found.findings, found.skipped) == ((), ())
    served.authority.database.append(lambda tx: tx.connection.execute(text("DELETE FROM proofs")))
    assert "Rows of proofs were changed in the database after event" in "".join(report(served).findings)
    house()
    assert len([each for each in served.events() if each.event.kind is EventKind.DIGESTS_RECORDED]) == 1
