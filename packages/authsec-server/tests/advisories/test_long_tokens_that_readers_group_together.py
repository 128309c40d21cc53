"""Somebody inserts tokens of an agent, with details of a megabyte each, or with very many actions and roles.

Dry runs and dashboards group tokens by the text of their details. They once read all groups in one statement, which
took gigabytes. So did the roll-up and the list of last uses with the counts of very many actions.
"""

from __future__ import annotations

import sys
import tracemalloc
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit import counts, rollup
from authsec_server.audit.counting import Counts
from authsec_server.audit.event_shape import is_event
from authsec_server.audit.live_tokens import of_clients, of_key
from authsec_server.audit.store import events
from authsec_server.audit.unreadable_rows import MOST_BYTES
from authsec_server.clients import service as clients
from authsec_server.db import Database, Tx
from planted_events import plant
from sqlalchemy import func, select

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import JTI, Year

LONG, USES = 60, 4  # events: each long one has a megabyte, and the others have 198,000 uses each
Reader = Callable[[Tx, Year, str], Any]
READERS: dict[str, Reader] = {
    "live tokens of an agent": lambda tx, year, client: of_clients(tx, year.at, [client]),
    "live tokens of a key": lambda tx, year, _: of_key(tx, year.at, "k"),
    "last uses": lambda tx, _, client: counts.last_uses(tx, [client]),
    "used actions": lambda tx, year, client: counts.actions_used(tx, [client], year.at),
    "unused delegations": lambda tx, *_: counts.used(tx),
    "the roll-up": lambda tx, *_: rollup.next_batch(tx.connection, _newest(tx)),
}


def _newest(tx: Tx) -> int:
    number: int = tx.connection.execute(select(func.max(events.c.id))).scalar_one()
    return number


def planted(database: Database, number: int, **its: Any) -> tuple[Year, str]:
    year = Year(database)
    year.issue()
    year.settle()
    plant(
        database,
        year.at,
        events.c.jti == JTI,
        number,
        expires_at=year.at + timedelta(hours=5),
        jti=lambda place: f"{place + 500:032}",
        request_id=lambda place: f"req_{place + 500:024}",
        **its,
    )
    last = database.read(lambda tx: tx.connection.execute(select(events).order_by(events.c.id.desc()).limit(1)).one())
    assert is_event(last._asdict())
    return year, database.read(lambda tx: clients.get(tx, year.act, "helper")).id


def peak(year: Year, client: str, reader: Reader) -> int:
    tracemalloc.start()
    try:
        year.database.read(lambda tx: reader(tx, year, client))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.soak
@pytest.mark.sqlite_suffices
def test_long_tokens_are_not_held_together(database: Database) -> None:
    year, client = planted(database, LONG, detail=lambda place: {"x": f"{place:06}" + "a" * 1_000_000})
    for name, reader in READERS.items():
        used = peak(year, client, reader)
        assert used < 3 * MOST_BYTES, f"{name}: {used >> 20} MiB for {LONG} events"


@pytest.mark.soak
@pytest.mark.sqlite_suffices
def test_tokens_of_very_many_uses_are_not_counted_together(database: Database) -> None:
    roles = [{"id": str(uuid.UUID(int=number + 1)), "name": "R"} for number in range(98)]
    year, client = planted(
        database, USES, roles=roles, detail=lambda place: {"actions": [f"a{place}:b{each}" for each in range(2000)]}
    )
    for name in ("last uses", "unused delegations", "the roll-up"):
        used = peak(year, client, READERS[name])
        assert used < 3 * MOST_BYTES, f"{name}: {used >> 20} MiB for {USES} events"


def test_the_roll_up_counts_each_event_in_some_batch(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    year = Year(database)
    for number in range(7):
        year.issue(detail={"actions": [f"customers:{number}", "customers:read"]})
    client = database.read(lambda tx: clients.get(tx, year.act, "helper")).id
    before = database.read(lambda tx: counts.actions_used(tx, [client], year.at))
    last = database.read(lambda tx: counts.last_uses(tx, [client]))
    monkeypatch.setattr(rollup, "MOST_ENTRIES", Counts().size + 4)
    batches = 0
    while batch := database.read(lambda tx: rollup.next_batch(tx.connection, _newest(tx))):
        batches += database.append(lambda tx, batch=batch: rollup.keep(tx, batch))
    assert batches > 2
    assert before == database.read(lambda tx: counts.actions_used(tx, [client], year.at))
    assert last == database.read(lambda tx: counts.last_uses(tx, [client]))
    assert before["customers:read"] == 7
