"""Somebody writes very many rows into the schema of the SQLite file, all of which share the pages of one long text.

Each row takes some 50 octets of the file, and `verify` holds 3,600 characters of it at the same time as all others. A
file that is larger by 100 MB costs more than seven gigabytes of memory, and `verify` ends without its findings.
"""

from __future__ import annotations

import sqlite3
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from audit_answers import LATER, SealedLog, fill
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import open_database
from authsec_server.db.catalog import OBJECTS, genuine_objects, listing_of, reference_listing
from sqlite_pages import INNER_TABLE, LEAF_TABLE, as_varint, page_of_cells

ROWS = 10_000
SIZE = 512  # of a page
OF_SCHEMA = 100  # where the header of the first page begins
PAGES = 7  # of the text, after the first 39 octets
PAYLOAD = 39 + PAGES * (SIZE - 4)
OF_COLUMNS = b"\x07\x15\x0f\x0f\x08"  # the octets of the header, then the types: 'view', 'v', 'v', 0
ALLOWED = 10_000_000  # octets: some hundred definitions, and all that `verify` needs else


def _record() -> bytes:
    """Build a row of the schema: a view that is there already, and then nothing but a comment."""
    length = PAYLOAD - 7 - len("viewvv")
    text = b"CREATE VIEW IF NOT EXISTS v AS SELECT 1 -- ".ljust(length, b"x")
    return OF_COLUMNS + as_varint(13 + 2 * length) + b"viewvv" + text


def _packed(cells: Iterator[tuple[int, bytes]], most: int) -> Iterator[list[tuple[int, bytes]]]:
    some = list[tuple[int, bytes]]()
    for each in cells:
        some.append(each)
        if len(some) == most:
            yield some
            some = []
    if some:
        yield some


def _add_rows(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute(f"PRAGMA page_size = {SIZE}")
        connection.execute("VACUUM")
        (last,) = connection.execute("SELECT max(rowid) FROM sqlite_schema").fetchone()
    octets = bytearray(file.read_bytes())
    record, pages = _record(), list[bytes]()

    def number() -> int:
        return len(octets) // SIZE + len(pages) + 1

    text = number()
    for at in range(PAGES):
        begin = 39 + at * (SIZE - 4)
        following = number() + 1 if at < PAGES - 1 else 0
        pages.append(following.to_bytes(4) + record[begin : begin + SIZE - 4])
    cell = record[:39] + text.to_bytes(4)
    rows = ((row, as_varint(PAYLOAD) + as_varint(row) + cell) for row in range(last + 1, last + 1 + ROWS))
    level = list[tuple[int, int]]()  # the last rowid below a page, and its number
    for some in _packed(rows, 9):
        level.append((some[-1][0], number()))
        pages.append(page_of_cells(LEAF_TABLE, [each for _, each in some], SIZE))
    former = int.from_bytes(octets[OF_SCHEMA + 8 : OF_SCHEMA + 12])
    while len(level) > 1:
        above = list[tuple[int, int]]()
        for start in range(0, len(level), 40):
            some_pages = level[start : start + 40]
            cells = [child.to_bytes(4) + as_varint(row) for row, child in some_pages[:-1]]
            above.append((some_pages[-1][0], number()))
            pages.append(page_of_cells(INNER_TABLE, cells, SIZE, some_pages[-1][1]))
        level = above
    assert octets[OF_SCHEMA] == INNER_TABLE
    top = number()
    pages.append(page_of_cells(INNER_TABLE, [former.to_bytes(4) + as_varint(last)], SIZE, level[0][1]))
    octets[OF_SCHEMA + 8 : OF_SCHEMA + 12] = top.to_bytes(4)
    octets += b"".join(pages)
    octets[28:32] = (len(octets) // SIZE).to_bytes(4)
    file.write_bytes(octets)


def _verified(file: Path, log: SealedLog) -> tuple[Report, int]:
    with closing(open_database(f"sqlite:///{file}")) as database:
        tracemalloc.start()
        try:
            report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER))
            return report, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


@pytest.mark.soak  # it measures memory
def test_rows_of_the_schema_are_not_held_all_at_once(tmp_path: Path) -> None:
    file = tmp_path / "authsec.sqlite3"
    with closing(open_database(f"sqlite:///{file}")) as database:
        database.migrate()
        log = fill(database)
    _add_rows(file)
    report, peak = _verified(file, log)
    assert report.findings != ()
    assert peak < ALLOWED


def test_very_many_views_do_not_hide_the_one_in_place_of_the_version(tmp_path: Path) -> None:
    """Of unknown objects, only the first 50 in order are held. SQLite unfolds a view that has a table's name."""
    file = tmp_path / "authsec.sqlite3"
    with closing(open_database(f"sqlite:///{file}")) as database:
        database.migrate()
        log = fill(database)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TABLE alembic_version")
        connection.execute("CREATE VIEW alembic_version AS SELECT 'of the view' AS version_num")
        for number in range(60):
            connection.execute(f"CREATE VIEW a{number:02} AS SELECT {number}")
        connection.commit()
    report, _ = _verified(file, log)
    assert not any("of the view" in each for each in report.findings)
    assert "And 11 others are unknown to AuthSec." in report.findings
    assert "The table alembic_version is missing." in report.findings


def test_a_second_row_of_each_object_is_a_finding(tmp_path: Path) -> None:
    """Very many other definitions of one object leave no other object looking genuine."""
    file = tmp_path / "authsec.sqlite3"
    with closing(open_database(f"sqlite:///{file}")) as database:
        database.migrate()
        log = fill(database)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        rows = [("roles", f"CREATE TABLE IF NOT EXISTS roles (x{each})") for each in range(1000)]
        rows += [(name, f"CREATE TABLE IF NOT EXISTS {name} (x)") for name in names]
        connection.executemany("INSERT INTO sqlite_schema VALUES ('table', ?1, ?1, 0, ?2)", rows)
        connection.commit()
    with closing(open_database(f"sqlite:///{file}")) as database:
        found = database.check(lambda tx: listing_of(tx.connection))
    assert found.others > 0
    assert not genuine_objects(found, reference_listing("sqlite")[OBJECTS]).keys() & {f"table {each}" for each in names}
    assert _verified(file, log)[0].findings != ()
