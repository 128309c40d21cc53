"""Raw SQL holds a row while an honest change of the same row waits for it, and is then committed.

The honest change had read the row before. What raw SQL wrote in between became part of the digests of the honest event.
On SQLite there is one writer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from authsec_server.clients import service
from authsec_server.db import Database, Tx, open_database
from sealed_estate import sealed_estate
from sqlalchemy import text

WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted")


def change_while_held(database: Database, statement: str, change: Callable[[], None]) -> None:
    """Run the raw statement, and commit it once the honest change waits for its row."""
    honest = threading.Thread(target=change)

    def held(tx: Tx) -> None:
        tx.connection.execute(text(statement))
        honest.start()
        while honest.is_alive() and not tx.connection.execute(WAITING).scalar_one():
            pass

    database.append(held)
    honest.join()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_raw_change_that_is_committed_while_a_change_waits_is_found(estate: Any, database_url: str) -> None:
    sealed, other = sealed_estate(estate), open_database(database_url)

    def edit() -> None:
        owner = {"owner": "night shift"}
        estate.do(lambda tx, act: service.edit(tx, act, "payments", revision=3, changes=owner))

    change_while_held(other, "UPDATE clients SET kind = 'mcp_server' WHERE slug = 'payments'", edit)
    other.close()
    sealed.seal()
    edited = len(estate.events("client.edited"))
    assert (edited, "Rows of clients were changed" in "".join(sealed.findings())) == (3, True)
