"""Somebody replaces the digest of a table in the event of an honest drop, and changes the rows to fit it afterwards.

The drop removes the events that said the genuine digests, so the event of the drop is where their chain begins.

A server notices the trigger on SQLite, and not on PostgreSQL. Here it does not notice it either.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit import store
from authsec_server.audit.sealing.retention import Dropper
from authsec_server.audit.sealing.scan import Scan
from authsec_server.audit.sealing.table_check import digests_of_rows
from authsec_server.audit.service import prepare_months
from authsec_server.db import Database, Tx
from authsec_server.db.table_digests import DIGESTED, product_of_rows, write_products
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import Year, noon

RENAMED = "UPDATE clients SET slug = 'other', revision = revision + 1 WHERE slug = 'helper'"


class Undone(Exception):
    """Rolls the trial back."""


def digest_after(database: Database, statement: str) -> tuple[str, str]:
    """The digest of the clients as they are, and as they will be."""
    found: list[str] = []

    def tried(tx: Tx) -> None:
        for step in (None, statement):
            if step:
                tx.connection.execute(text(step))
            found.append(digests_of_rows(Scan(tx.connection))["clients"])
        raise Undone

    with pytest.raises(Undone):
        database.append(tried)
    return found[0], found[1]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("all_removed", [False, True], ids=["one is replaced", "all are removed"])
def test_a_digest_that_the_signed_record_does_not_have_is_found(
    database: Database, monkeypatch: pytest.MonkeyPatch, all_removed: bool
) -> None:
    year = Year(database)
    year.at = noon(9)  # all changes are in months that are over
    database.append(lambda tx: prepare_months(tx, year.at))
    year.settle()
    genuine, forged = digest_after(database, RENAMED)
    detail = "json_remove(detail, '$.digests')" if all_removed else f"replace(detail, '{genuine}', '{forged}')"
    checked = Dropper._checked

    def checked_and_forged(*arguments: Any, **named: Any) -> Any:
        result = checked(*arguments, **named)
        year.run(
            "CREATE TRIGGER forge AFTER INSERT ON events WHEN new.kind = 'events.dropped' BEGIN UPDATE events"
            f" SET detail = {detail} WHERE id = new.id; END"
        )
        return result

    with monkeypatch.context() as patched:
        patched.setattr(Dropper, "_checked", checked_and_forged)
        patched.setattr(store, "refuse_any_interference", lambda *_, **__: None)
        year.drop(9)
    year.run("DROP TRIGGER forge")
    year.run(RENAMED)
    database.append(
        lambda tx: write_products(
            tx.connection,
            {"clients": product_of_rows("clients", Scan(tx.connection).digested("clients", DIGESTED["clients"]))},
        )
    )
    assert any("of a drop has digests that no signed drop record has." in each for each in year.report().findings)
