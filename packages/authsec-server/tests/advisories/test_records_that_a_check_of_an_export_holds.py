"""Raw SQL inserts very many long events with a record, which the server seals.

`verify_export` and `audit drop` would hold all of them in memory, whoever signed the record.
"""

from __future__ import annotations

import secrets
import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.exporting import export, verify_export
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.store import events
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from sqlalchemy import insert, select

pytestmark = pytest.mark.sqlite_suffices
KINDS = ("seal_key.replaced", "events.dropped", "authority.restored")
EACH, LENGTH, BOUND = 10, 900_000, 15_000_000


class Lines:
    """A file that is read again each time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[str]:
        with self._path.open(encoding="ascii", newline="\n") as lines:
            yield from lines


@pytest.mark.soak
def test_the_memory_is_bounded(database: Database, tmp_path: Path) -> None:
    log = fill(database)
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    at = LATER + timedelta(minutes=12)

    def insert_events(tx: Tx) -> None:
        (row,) = tx.connection.execute(select(events).where(events.c.kind == "admin_key.created").limit(1))
        for kind in KINDS * EACH:
            values = row._asdict() | {"kind": kind, "at": LATER, "detail": {"record": "x" * LENGTH}}
            del values["id"]
            tx.connection.execute(insert(events).values(values))

    database.append(insert_events)
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: at)
    while sealer.seal():
        pass
    path = tmp_path / "export.jsonl"
    with path.open("w") as file:
        file.writelines(export(database))
    assert path.stat().st_size > len(KINDS) * EACH * LENGTH
    tracemalloc.start()
    try:
        report = verify_export(Lines(path), log.keys, [log.checkpoint], now=at)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.findings == ()
    assert peak < BOUND, f"{peak:,}"
