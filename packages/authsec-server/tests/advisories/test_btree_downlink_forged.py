"""A forged page of a B-tree index leads a search past a leaf. `bt_index_check` passes: it follows the leaves only.

`authsec audit verify --deep` follows every path from the root.
"""

from __future__ import annotations

import struct

import pytest
from audit_answers import ANN, fill
from authsec_server.audit import service as audit
from authsec_server.audit.filters import EventFilter
from authsec_server.audit.sealing.verifying import Report, verify
from authsec_server.db import Database, Tx
from postgresql_pages import PAGE, exchange

MORE = """
INSERT INTO events (at, kind, request_id, delegations, roles, reason, address, jti, kid, token_sha256, detail,
    occurrences, authority_version)
SELECT (SELECT until FROM counted), 'role.created',
    'req_m' || lpad(n::text, 23, '0'), '[]', '[]', '', '', '', '', '', '{}', 1, 1
FROM generate_series(1, 1500) n
"""
AMCHECK = "CREATE SCHEMA IF NOT EXISTS amcheck; CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA amcheck"


class _Undone(Exception):
    pass


@pytest.mark.soak  # test_index_that_leads_to_another_row.py has a search that misses a row
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_search_that_is_led_past_a_leaf_is_found(database: Database) -> None:
    log = fill(database)
    database.append(lambda tx: tx.connection.exec_driver_sql(MORE))

    reports: list[Report] = []

    def attempt(tx: Tx) -> None:
        sql = tx.connection.exec_driver_sql
        sql(AMCHECK)
        assert _led_to(tx) == 1
        index = sql(
            "SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
            " JOIN pg_class x ON x.oid = i.indexrelid WHERE c.relkind = 'r' AND pg_get_indexdef(x.oid) LIKE"
            " '%%(request_id)' ORDER BY pg_relation_size(x.oid) DESC LIMIT 1"
        ).scalar_one()
        sql(f"REINDEX INDEX {index}")
        exchange(tx, index, _without_way)
        number = sum(_led_to(tx, f"req_m{n:023}") == 0 for n in range(1, 1501, 75))
        assert number > 0
        reports.append(verify(tx, log.keys, [log.checkpoint], deep=True))
        raise _Undone

    with pytest.raises(_Undone):
        database.append(attempt)
    (finding,) = reports[0].findings
    assert finding.startswith("The index events_")
    assert "is damaged: " in finding


def _led_to(tx: Tx, request: str = f"req_act{4:021}") -> int:
    return len(audit.page(tx, ANN, EventFilter(request_id=request)).items)


def _without_way(content: bytearray) -> None:
    """The first child of the root that is no leftmost one gets the way of its right neighbour."""
    root = struct.unpack_from("<I", content, 24 + 8)[0]
    base = root * PAGE
    lower = struct.unpack_from("<H", content, base + 12)[0]
    items = [struct.unpack_from("<I", content, base + at)[0] & 0x7FFF for at in range(24, lower, 4)]
    assert len(items) > 3
    left, right = items[-3], items[-2]
    content[base + left : base + left + 4] = content[base + right : base + right + 4]
