"""A record in the SQLite file has one value for a scan and another for a search: readers miss an event.

SQLite compares a searched key with the octets of a record, and reads columns in another way. Whoever writes the file by
hand makes the two differ, or puts an entry where only SQLite's own check finds it. `PRAGMA integrity_check` says ok.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from audit_answers import ANN, LATER, Reader, SealedLog, fill, issued, readers
from authsec_server.audit import service as audit
from authsec_server.audit.filters import EventFilter
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, Tx, open_database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.revocations import store
from long_runs import some_of
from sqlite_pages import LEAF_INDEX, Cell, Page, SQLitePages, fields, integer

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
READERS: Mapping[str, Reader] = readers() | {
    "the feed": lambda tx: store.since(tx.connection, 0, 10),
    "SQL": lambda tx: tx.connection.exec_driver_sql(
        "SELECT id FROM events WHERE client_id = '0' AND id > 0 ORDER BY id"
    ).all(),
}


@pytest.fixture
def log(database: Database) -> SealedLog:
    """A sealed log, in a file that no server has open any more."""
    its = fill(database)
    database.close()
    return its


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def answer_of(url: str, reader: str) -> Any:
    """What the reader finds, or the name of the error that it ends with."""

    def read(tx: Tx) -> Any:
        try:
            return READERS[reader](tx)
        except Exception as error:  # noqa: BLE001 - an error is an answer as well
            return type(error).__name__

    with closing(open_database(url)) as database:
        return database.read(read)


def findings(url: str, log: SealedLog) -> tuple[str, ...]:
    """What the check finds, with a checkpoint that was kept elsewhere."""
    with closing(open_database(url)) as database:
        return database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER)).findings


def run(path: Path, *statements: str) -> list[Any]:
    """Run the statements; the rows of the last."""
    found: list[Any] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            found = connection.execute(statement).fetchall()
    return found


def in_two_ways(record: bytes) -> bytes:
    """A record of a text and others that a search compares as before, and of which a scan reads something else.

    A search takes the first octet as the header's size, 128, and the second as the type of the text. A scan reads both
    as one number, the size of a shorter header. What follows in that header are types of empty fields.
    """
    (text, _), *others = before = fields(record)
    assert 13 <= text < 0x80, "the type of a short text"
    rowid, octets = before.pop()
    if rowid in {8, 9}:  # a number without octets of its own, which a scan would look for at the end
        rowid, octets = 1, bytes([rowid - 8])
    header = bytearray(128)
    header[0], header[1] = 0x80, text
    for place, (kind, _) in enumerate(others[:-1], start=2):
        header[place] = kind
    header[1 + len(others)] = header[text - 1] = rowid
    header[text:] = b"z" * (128 - text)  # what a scan reads where the index has a text
    return bytes(header) + b"".join(each for _, each in before) + octets


def integer_in_two_ways(record: bytes) -> bytes:
    """A record of a small number and a small rowid, of which a scan reads the number and 40."""
    number, rowid = map(integer, fields(record))
    header = bytearray(385)  # 0x83 0x01 for a scan; 0x83 & 0x3F, then 0x83, for a search
    header[0], header[1], header[2], header[3] = 0x83, 1, 1, number
    header[132], header[384] = rowid, 1
    return bytes(header) + bytes([40 + number, 0, 0, 0, rowid])


def as_empty_blob(record: bytes) -> bytes:
    """A record of two fields that a scan reads as before. A search takes the header's size for the type of a blob."""
    before = fields(record)
    header = bytearray(12)
    header[0], header[1] = 0x80, 12
    for place, (kind, _) in enumerate(before, start=2):
        header[place] = kind
    return bytes(header) + b"".join(octets for _, octets in before)


def empty_or_text(record: bytes) -> bytes:
    """A record of NULL, an event's number and a rowid, which a search for a text takes for one of the text `a`."""
    (empty, _), number, rowid = fields(record)
    if empty != 0:
        return record
    header = bytes([0x80, 15, 0, number[0], rowid[0]]).ljust(14, b"\0") + bytes([rowid[0]])
    return (header + number[1] + rowid[1]).ljust(128, b"\0") + b"a" + rowid[1]


def rewrite(path: Path, name: str, change: Callable[[bytes], bytes], having: bytes = b"") -> None:
    """Change the records of the index, or of a table without rowids, that have these octets."""
    pages = SQLitePages(path)
    page = pages.read(pages.root(name))
    assert page.kind == LEAF_INDEX
    cells = [Cell(record=change(each.record)) if having in each.record else each for each in page.cells]
    assert cells != page.cells
    pages.write(pages.root(name), replace(page, cells=cells))


def misread_rowid(path: Path) -> None:
    """The length of event 8 has nine octets, of which the last is no last one for a search."""
    pages = SQLitePages(path)
    for number in pages.leaves("events"):
        for place, cell in enumerate(pages.read(number).cells):
            if cell.rowid == 8:
                size = len(cell.record)
                nine = bytes([*[0x80] * 7, 0x80 | size >> 7, 0x80 | size & 0x7F])
                pages.replace(number, place, replace(cell, size=nine))


ATTACKS: Mapping[str, tuple[Callable[[Path], None], str, str]] = {
    "an entry of a request": (
        lambda path: rewrite(path, "ix_events_request_id", in_two_ways, b"req_000000000000000000000004"),
        "newest of a request",
        "The index ix_events_request_id is damaged: its entry for row 6 differs from the row.",
    ),
    "an entry of an agent's refusals, in an index of some rows": (
        lambda path: rewrite(path, "ix_events_denied_client_id_id", in_two_ways, b"c-1"),
        "newest of a client's refusals",
        "The index ix_events_denied_client_id_id is damaged: its entry for row 26 differs from the row.",
    ),
    "the entries of events without an agent": (
        lambda path: rewrite(path, "ix_events_client_id_id", empty_or_text),
        "SQL",
        "The index ix_events_client_id_id is damaged: a search for a value finds row 1, which has none.",
    ),
    "the entries of what was revoked": (
        lambda path: rewrite(path, "ix_revocations_subject_kind_subject_id", in_two_ways),
        "when tokens were revoked",
        "The index ix_revocations_subject_kind_subject_id is damaged: its entry for row 1 differs from the row.",
    ),
    "the numbers of the feed": (
        lambda path: rewrite(path, "sqlite_autoindex_revocations_1", integer_in_two_ways),
        "the feed",
        "The index sqlite_autoindex_revocations_1 is damaged: its entry for row 1 differs from the row.",
    ),
    "the delegations of events": (
        lambda path: rewrite(path, "event_delegations", as_empty_blob, b"d-2"),
        "newest of a delegation",
        "The table event_delegations is damaged: a search does not find one of its rows.",
    ),
    "the number of an event": (
        misread_rowid,
        "one by one",
        "The table events is damaged: a search does not find row 10.",
    ),
}


@pytest.mark.parametrize("attack", some_of(ATTACKS))
def test_a_record_that_a_search_reads_in_another_way_is_found(attack: str, log: SealedLog, database_url: str) -> None:
    change, reader, finding = ATTACKS[attack]
    before = answer_of(database_url, reader)
    change(file_of(database_url))
    assert run(file_of(database_url), "PRAGMA integrity_check") == [("ok",)]
    assert answer_of(database_url, reader) != before, "the attack works: a reader gets another answer"
    assert finding in findings(database_url, log)


def test_an_entry_that_only_the_check_of_sqlite_finds_is_found(log: SealedLog, database_url: str) -> None:
    path, index = file_of(database_url), "ix_events_request_id"
    record_more(database_url)
    run(path, "PRAGMA journal_mode = DELETE", "PRAGMA page_size = 1024", "VACUUM")
    assert findings(database_url, log) == ()
    hidden = hide_before_the_divider(SQLitePages(path), index)
    ((request_id,),) = run(path, f"SELECT request_id FROM events WHERE id = {hidden}")
    assert run(path, "PRAGMA integrity_check") == [("ok",)]
    with closing(open_database(database_url)) as database:
        wanted = EventFilter(request_id=request_id)
        shown = database.read(lambda tx: audit.page(tx, ANN, wanted, limit=200)).items
    assert hidden not in {each.id for each in shown}, "the attack works: the list lacks an event"
    assert f"The index {index} is damaged: its entry for row {hidden} is out of order." in findings(database_url, log)


def record_more(url: str) -> None:
    """Record and seal events whose request ids are in another order than their numbers."""
    with closing(open_database(url)) as database:
        for number in range(21, 80):
            at, request_id = LATER + timedelta(seconds=number), f"req_{number * 37 % 101 + 1000:024}"
            event = replace(issued(number, at=at), request_id=request_id)
            database.append(partial(audit.record, event=event))
        keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=bytes)
        now, key, known = LATER + timedelta(minutes=20), keys.signing_key, keys.by_kid
        while Sealer(database, issuer="https://a", signing_key=key, keys=known, now=lambda: now).seal():
            pass


def hide_before_the_divider(pages: SQLitePages, index: str) -> int:
    """Move the entry before the last divider of the index to the first place of the last page; return its row.

    SQLite's own check begins a search on the last page if the search before ended there. A reader begins at the root.
    So the row before the hidden one needs an entry on the last page, and the row before the divider's none.
    """
    root = pages.read(pages.root(index))
    *others, divider = root.cells
    left, right = pages.read(divider.child), pages.read(root.right)
    entries = [*left.cells, replace(divider, child=0), *right.cells]
    rows = [integer(fields(each.record)[-1]) for each in entries]
    possible = [
        place
        for place in range(2, len(rows))
        if rows[place - 1] - 1 in rows[place + 1 :] and rows[place] - 1 not in (rows[place - 1], *rows[place + 1 :])
    ]
    place = min(possible, key=lambda place: abs(place - len(left.cells)))  # each page has room for some more
    *before, hidden = entries[:place]
    pages.write(divider.child, Page(kind=LEAF_INDEX, cells=before))
    pages.write(root.right, Page(kind=LEAF_INDEX, cells=[hidden, *entries[place + 1 :]]))
    pages.write(pages.root(index), replace(root, cells=[*others, replace(entries[place], child=divider.child)]))
    return rows[place - 1]


def copied(path: Path, copy: Callable[[sqlite3.Connection, sqlite3.Connection], Any]) -> None:
    """Replace the file by a copy that SQLite makes."""
    other = path.with_name("other.sqlite3")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(other)) as target:
        copy(source, target)
    other.replace(path)


HONEST: Mapping[str, Callable[[Path], Any]] = {
    "vacuum": lambda path: run(path, "VACUUM"),
    "new indexes": lambda path: run(path, "REINDEX"),
    "no free pages": lambda path: run(path, "PRAGMA auto_vacuum = FULL", "VACUUM"),
    "small pages": lambda path: run(path, "PRAGMA journal_mode = DELETE", "PRAGMA page_size = 1024", "VACUUM"),
    "large pages": lambda path: run(path, "PRAGMA journal_mode = DELETE", "PRAGMA page_size = 65536", "VACUUM"),
    "a backup": lambda path: copied(path, lambda source, target: source.backup(target)),
    "a dump": lambda path: copied(path, lambda source, target: target.executescript("\n".join(source.iterdump()))),
}
OFTEN = ("vacuum",)


@pytest.mark.parametrize(
    "change", [*OFTEN, *(pytest.param(each, marks=pytest.mark.soak) for each in HONEST if each not in OFTEN)]
)
def test_what_an_operator_does_with_the_file_is_no_finding(change: str, log: SealedLog, database_url: str) -> None:
    before = findings(database_url, log)
    HONEST[change](file_of(database_url))
    assert findings(database_url, log) == before


@pytest.mark.parametrize("statement", some_of(["ANALYZE", "PRAGMA optimize(0x10002)"], each=2))
def test_statistics_are_found_with_a_remedy(statement: str, log: SealedLog, database_url: str) -> None:
    before, path = findings(database_url, log), file_of(database_url)
    run(path, statement)
    (finding,) = set(findings(database_url, log)) - set(before)
    assert finding == (
        "The table sqlite_stat1 is unknown to AuthSec: ANALYZE or PRAGMA optimize made it. Its statistics can"
        " lead readers to another index. Run DROP TABLE sqlite_stat1."
    )
    run(path, "DROP TABLE sqlite_stat1")
    assert findings(database_url, log) == before
