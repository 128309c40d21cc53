"""Tables of PostgreSQL are copied whole: each partition, and each value as it is stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from authsec_server.db import Database, Tx, open_database
from authsec_server.db.table_copy import LONGEST, LONGEST_ROW, TableCopies
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError

NAMES = ("number", "true_or_false", "octets", 'a "text"', "at")
TEXT = '"a ""text"""'  # as SQL names it
MAKE = (
    f"CREATE TABLE made (number bigint, true_or_false boolean, octets bytea, {TEXT} text, at timestamptz)"
    " PARTITION BY LIST (number)",
    "CREATE TABLE made_1 PARTITION OF made FOR VALUES IN (1)",
    "CREATE TABLE made_others PARTITION OF made DEFAULT PARTITION BY LIST (number)",
    "CREATE TABLE made_2 PARTITION OF made_others FOR VALUES IN (2)",
)
ROW = (
    "INSERT INTO {} VALUES (:number, true, '\\x005c'::bytea, :text, '2026-11-25 12:00:00.5+02'::timestamptz)"  # escaped
)
TEXTS = st.one_of(
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
    st.text("\\\tNn\r\n\b\f\v.x0", max_size=8),  # what the format of COPY escapes
)


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    with closing(open_database(postgres_url)) as opened:
        run(opened, *MAKE)
        yield opened
        run(opened, "DROP TABLE made CASCADE")


def run(database: Database, *statements: str, **values: object) -> None:
    def run_all(statement: str) -> None:
        database.append(lambda tx: tx.connection.execute(text(statement), values) and None)

    for each in statements:
        run_all(each)


def rows(database: Database, table: str = "made") -> list[list[str | None]]:
    return database.read(lambda tx: [[*row] for row in TableCopies(tx.connection).rows(table, NAMES)])


def test_values_of_every_partition_are_the_texts_that_a_cast_gives(database: Database) -> None:
    for number in (1, 2):
        run(database, ROW.format("made"), number=number, text="x")
    columns = ", ".join(f"{name}::text" for name in (*NAMES[:3], TEXT, "at"))
    cast = database.read(lambda tx: [[*row] for row in tx.connection.execute(text(f"SELECT {columns} FROM made"))])
    assert rows(database) == cast
    assert [row[0] for row in cast] == ["1", "2"]


def test_a_table_that_inherits_is_read_as_well(database: Database) -> None:
    run(database, "CREATE TABLE parent (id text)", "CREATE TABLE heir () INHERITS (parent)")
    run(database, "INSERT INTO heir VALUES ('h')")
    found = database.read(lambda tx: [*TableCopies(tx.connection).rows("parent", ["id"])])
    run(database, "DROP TABLE parent CASCADE")
    assert found == [["h"]]


def test_each_text_is_read_as_it_was_written(database: Database) -> None:
    @given(TEXTS)
    def written(value: str | None) -> None:
        run(database, "DELETE FROM made", ROW.format("made"), number=1, text=value)
        assert [row[3] for row in rows(database)] == [value]

    written()


@pytest.mark.parametrize("partition", ["made_1", "made_2"])
def test_a_value_that_would_fill_the_memory_is_known_before(database: Database, partition: str) -> None:
    def can_read() -> bool:
        return database.read(lambda tx: TableCopies(tx.connection).can_read("made", NAMES))

    run(database, ROW.format("made"), number=int(partition[-1]), text="x" * LONGEST)
    assert can_read()
    run(database, f"UPDATE {partition} SET {TEXT} = {TEXT} || 'x'")
    assert not can_read()


def test_a_row_that_is_too_long_ends_the_copy(database: Database) -> None:
    def read(tx: Tx) -> int:
        savepoint = tx.connection.begin_nested()
        with pytest.raises(OperationalError, match="octets, more than"):
            [*TableCopies(tx.connection).rows("made", NAMES)]
        savepoint.rollback()
        return len([*TableCopies(tx.connection).rows("made", NAMES[:1])])

    run(database, ROW.format("made"), number=1, text="x")
    run(database, f"UPDATE made SET {TEXT} = repeat('x', :length)", length=2 * LONGEST_ROW + 1)
    assert database.read(read) == 1


def test_a_missing_table_fails_as_a_query_fails(database: Database) -> None:
    with pytest.raises(ProgrammingError, match="nowhere"):
        rows(database, "nowhere")
    assert database.read(lambda tx: TableCopies(tx.connection).columns("nowhere")) == {}
