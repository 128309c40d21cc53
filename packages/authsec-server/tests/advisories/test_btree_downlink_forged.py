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

PAGE = 8192
MORE = """
INSERT INTO events (at, kind, request_id, delegations, roles, reason, address, jti, kid, token_sha256, detail,
    occurrences)
SELECT (SELECT until FROM counted), 'role.created', 'req_more_' || n, '[]', '[]', '', '', 'more' || n, '', '', '{}', 1
FROM generate_series(1, 3000) n
"""
AMCHECK = "CREATE SCHEMA IF NOT EXISTS amcheck; CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA amcheck"


class _Undone(Exception):
    pass


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
        sql("CHECKPOINT")
        path = sql(f"SELECT pg_relation_filepath('{index}')").scalar_one()
        content = bytearray(sql(f"SELECT pg_read_binary_file('{path}')").scalar_one())
        forged = _without_way(content)
        node = int(sql(f"SELECT pg_relation_filenode('{index}')").scalar_one()) + 500_000
        new = path.rpartition("/")[0] + f"/{node}"
        oid = sql("SELECT lo_from_bytea(0, %s)", (bytes(forged),)).scalar_one()
        sql(f"SELECT lo_export({oid}, '{new}')")
        sql(f"UPDATE pg_class SET relfilenode = {node} WHERE oid = '{index}'::regclass")
        number = sum(_led_to(tx, f"req_more_{n}") == 0 for n in range(1, 3001, 10))
        assert number > 0
        reports.append(verify(tx, log.keys, [log.checkpoint], deep=True))
        raise _Undone

    with pytest.raises(_Undone):
        database.append(attempt)
    (finding,) = reports[0].findings
    assert finding.startswith("The index events_")
    assert "is damaged: " in finding


def _led_to(tx: Tx, request: str = "req_4") -> int:
    return len(audit.page(tx, ANN, EventFilter(request_id=request)).items)


def _without_way(content: bytearray) -> bytearray:
    """The first child of the root that is no leftmost one gets the way of its right neighbour."""
    root = struct.unpack_from("<I", content, 24 + 8)[0]
    base = root * PAGE
    lower = struct.unpack_from("<H", content, base + 12)[0]
    items = [struct.unpack_from("<I", content, base + at)[0] & 0x7FFF for at in range(24, lower, 4)]
    assert len(items) > 3
    left, right = items[-3], items[-2]
    content[base + left : base + left + 4] = content[base + right : base + right + 4]
    struct.pack_into("<H", content, base + 8, 0)
    struct.pack_into("<H", content, base + 8, _checksum(bytes(content[base : base + PAGE]), root))
    return content


_BASES = (
    *(0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C),
    *(0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB),
    *(0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4),
    *(0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756),
)


def _checksum(page: bytes, block: int) -> int:
    """PostgreSQL's checksum of a page (`checksum_impl.h`)."""
    sums = list(_BASES)
    words = [*struct.unpack(f"<{PAGE // 4}I", page), *[0] * 64]
    for at, word in enumerate(words):
        mixed = sums[at % 32] ^ word
        sums[at % 32] = ((mixed * 16777619) & 0xFFFFFFFF) ^ (mixed >> 17)
    found = 0
    for each in sums:
        found ^= each
    return (found ^ block) % 65535 + 1
