"""Pages of PostgreSQL's files, as somebody with the rights of its operating system user can write them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import count

from authsec_server.db import Tx

PAGE = 8192
_NODES = 500_000  # far above those of PostgreSQL
_exchanged = count()
_BASES = (
    *(0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C),
    *(0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB),
    *(0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4),
    *(0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756),
)


def exchange(tx: Tx, relation: str, change: Callable[[bytearray], None]) -> None:
    """Change the file of a table or an index until the transaction is rolled back. The checksums are right.

    The indexes of a table get copies of their files: PostgreSQL marks the entries that lead to no row of the changed
    table, and keeps these marks after a rollback.
    """
    sql = tx.connection.exec_driver_sql
    sql("CHECKPOINT")
    indexes = sql(f"SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = '{relation}'::regclass").scalars()
    for each in (relation, *indexes):
        path = sql(f"SELECT pg_relation_filepath('{each}')").scalar_one()
        content = bytearray(sql(f"SELECT pg_read_binary_file('{path}')").scalar_one())
        if each == relation:
            change(content)
            for block in range(len(content) // PAGE):
                _set_checksum(content, block)
        _replace(tx, each, path.rpartition("/")[0], content)


def _replace(tx: Tx, relation: str, folder: str, content: bytearray) -> None:
    sql = tx.connection.exec_driver_sql
    # Never the same file twice: PostgreSQL keeps pages of a file in memory after the rollback.
    node = int(sql("SELECT max(relfilenode) FROM pg_class WHERE relfilenode < %s", (_NODES,)).scalar_one())
    node += _NODES + next(_exchanged)
    oid = sql("SELECT lo_from_bytea(0, %s)", (bytes(content),)).scalar_one()
    sql(f"SELECT lo_export({oid}, '{folder}/{node}'), lo_unlink({oid})")
    sql(f"UPDATE pg_class SET relfilenode = {node} WHERE oid = '{relation}'::regclass")


def _set_checksum(content: bytearray, block: int) -> None:
    """Set PostgreSQL's checksum of a page (`checksum_impl.h`). A page without a header has none."""
    base = block * PAGE
    if not any(content[base + 8 : base + 24]):
        return
    struct.pack_into("<H", content, base + 8, 0)
    sums = list(_BASES)
    words = [*struct.unpack_from(f"<{PAGE // 4}I", content, base), *[0] * 64]
    for at, word in enumerate(words):
        mixed = sums[at % 32] ^ word
        sums[at % 32] = ((mixed * 16777619) & 0xFFFFFFFF) ^ (mixed >> 17)
    found = 0
    for each in sums:
        found ^= each
    struct.pack_into("<H", content, base + 8, (found ^ block) % 65535 + 1)
