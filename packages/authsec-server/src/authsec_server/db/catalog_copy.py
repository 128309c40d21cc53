"""Read PostgreSQL's catalogs with `COPY`, which PostgreSQL neither plans nor filters.

A query would use functions and operators that an attacker may have replaced. PostgreSQL can describe a statement
without executing it, and the description has the oid of each catalog. So this module detects another table with the
name of a catalog.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from struct import unpack_from
from typing import Any, Final, TypeAlias

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus
from psycopg.waiting import Wait

from authsec_server.db.quoting import quoted

_HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_END: Final = b"\xff\xff"
_NO_VALUE: Final = 0xFFFFFFFF
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
_ESCAPES: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
LONGEST_ROW: Final = 2**24  # octets of a row of a catalog
# The catalogs that checks read with COPY or by an index, each with a column of it and its oid.
OIDS: Final = {
    "pg_aggregate": ("aggfnoid", 2600),
    "pg_am": ("oid", 2601),
    "pg_amop": ("oid", 2602),
    "pg_amproc": ("oid", 2603),
    "pg_attrdef": ("oid", 2604),
    "pg_attribute": ("attrelid", 1249),
    "pg_cast": ("oid", 2605),
    "pg_class": ("oid", 1259),
    "pg_collation": ("oid", 3456),
    "pg_constraint": ("oid", 2606),
    "pg_conversion": ("oid", 2607),
    "pg_db_role_setting": ("setdatabase", 2964),
    "pg_depend": ("objid", 2608),
    "pg_event_trigger": ("oid", 3466),
    "pg_index": ("indexrelid", 2610),
    "pg_inherits": ("inhrelid", 2611),
    "pg_language": ("oid", 2612),
    "pg_namespace": ("oid", 2615),
    "pg_opclass": ("oid", 2616),
    "pg_operator": ("oid", 2617),
    "pg_opfamily": ("oid", 2753),
    "pg_partitioned_table": ("partrelid", 3350),
    "pg_policy": ("oid", 3256),
    "pg_proc": ("oid", 1255),
    "pg_range": ("rngtypid", 3541),
    "pg_rewrite": ("oid", 2618),
    "pg_sequence": ("seqrelid", 2224),
    "pg_statistic_ext": ("oid", 3381),
    "pg_trigger": ("oid", 2620),
    "pg_type": ("oid", 1247),
}

Fields: TypeAlias = Sequence[bytes | None]  # of a row; None is NULL
Texts: TypeAlias = Sequence[str | None]  # of a row, as texts; None is NULL


@dataclass(frozen=True, slots=True)
class ForeignCode:
    """Foreign code that PostgreSQL would run: a sentence that describes the code, and how to remove it."""

    finding: str
    remedy: str


def replaced_catalogs(driver: psycopg.Connection[Any], names: tuple[str, ...] = tuple(OIDS)) -> Iterator[ForeignCode]:
    """Find each of these catalogs whose name leads to another table, without planning a statement."""
    driver.wait(_described(driver, driver.pgconn.send_prepare, b"", _never_executed(names)))
    described = driver.wait(_described(driver, driver.pgconn.send_describe_prepared, b""))
    for column, name in enumerate(names):
        if (oid := described.ftable(column)) != OIDS[name][1]:
            yield ForeignCode(
                f"PostgreSQL's own catalog {name} was replaced: the table with this name has the oid {oid}.",
                "Find who changed it, and restore a backup.",
            )


def table_named(driver: psycopg.Connection[Any], relation: str) -> int:
    """Return the oid of the table to which this quoted name leads in this session, without planning a statement.

    Raises psycopg's errors if there is no such table.
    """
    statement = f"SELECT tableoid FROM ONLY {relation}".encode()  # noqa: S608 - a quoted name
    driver.wait(_described(driver, driver.pgconn.send_prepare, b"", statement))
    oid: int = driver.wait(_described(driver, driver.pgconn.send_describe_prepared, b"")).ftable(0)
    return oid


@cache
def _never_executed(names: tuple[str, ...]) -> bytes:
    columns = ", ".join(f"{name}.{OIDS[name][0]}" for name in names)
    return f"SELECT {columns} FROM {', '.join(f'pg_catalog.{name}' for name in names)}".encode()  # noqa: S608 - of constants


def _described(driver: psycopg.Connection[Any], send: Callable[..., None], *arguments: bytes) -> Any:
    send(*arguments)
    return _result(*(yield from generators.execute(driver.pgconn)))


def _result(result: Any) -> Any:
    if result.status not in {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.COPY_OUT}:
        raise psycopg.errors.error_from_result(result)
    return result


class CatalogDenied(psycopg.errors.InsufficientPrivilege):
    """The role of this session may not read the `catalog`."""

    def __init__(self, catalog: str) -> None:
        super().__init__(catalog)
        self.catalog = catalog


def copied_rows(driver: psycopg.Connection[Any], catalog: str, columns: str) -> Iterator[bytes]:
    """Yield each row of the catalog as `COPY` sends it: the number of fields, then each field after its length.

    The caller must take all rows before another call on this connection. Raises `CatalogDenied`. Then the caller's
    transaction can only be rolled back.
    """
    for rows in _binary_rows(driver, catalog, f"pg_catalog.{catalog} ({columns})"):
        yield from rows


def queried_rows(driver: psycopg.Connection[Any], catalog: str, query: str) -> Iterator[list[bytes]]:
    """Yield lists of rows of a query of this catalog, in the form of `copied_rows`, as they arrive.

    PostgreSQL plans the query.
    """
    yield from _binary_rows(driver, catalog, f"({query})")


def _binary_rows(driver: psycopg.Connection[Any], catalog: str, source: str) -> Iterator[list[bytes]]:
    header = _HEADER
    for blocks in _copied(driver, catalog, f"COPY {source} TO STDOUT (FORMAT binary)"):
        if header and blocks:
            blocks[0], header = blocks[0].removeprefix(header), b""
            if not blocks[0]:
                del blocks[0]
        if blocks and blocks[-1] == _END:
            del blocks[-1]
        yield blocks


def copied_texts(
    driver: psycopg.Connection[Any], relation: str, columns: Sequence[str], *, longest: int = LONGEST_ROW
) -> Iterator[Texts]:
    """Yield these columns of each row of the relation as texts. `relation` has the name of its schema, and is quoted.

    PostgreSQL writes these texts with the output functions of types, which `ALTER TYPE` cannot replace. A relation that
    inherits from this one is not read.

    The attack: a cast from `bytea` stores octets that are not UTF-8. PostgreSQL sends such octets, but the driver
    refuses the text. Here each such octet becomes a lone surrogate.

    Raises `ProgramLimitExceeded` for a row of more than `longest` octets. Python does not copy such a row.
    """
    statement = f"COPY {relation} ({', '.join(map(quoted, columns))}) TO STDOUT"
    is_complete = False
    with driver.cursor() as cursor, cursor.copy(statement.encode()) as copy:  # its end cancels the rest
        while not is_complete:
            blocks, is_complete = driver.wait(_arrived(driver.pgconn, longest))
            for block in blocks:
                try:
                    row: Texts | None = copy.formatter.parse_row(block)
                except UnicodeDecodeError:
                    row = _parsed(block)
                if row is not None:
                    yield row


def _parsed(block: bytes) -> Texts:
    """Parse a row with octets that are not UTF-8: each such octet becomes a lone surrogate."""
    fields = block.removesuffix(b"\n").split(b"\t")
    return [
        None if field == rb"\N" else _ESCAPED.sub(_unescaped, field).decode("utf-8", "surrogateescape")
        for field in fields
    ]


def _unescaped(found: re.Match[bytes]) -> bytes:
    return _ESCAPES.get(found[1], found[1])


def is_utf_8(value: str) -> bool:
    """Whether the stored text is UTF-8. A text of `copied_texts` with a lone surrogate is not UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _copied(driver: psycopg.Connection[Any], catalog: str, statement: str) -> Iterator[list[bytes]]:
    try:
        driver.wait(_described(driver, driver.pgconn.send_query, statement.encode()))
        is_complete = False
        while not is_complete:
            blocks, is_complete = driver.wait(_arrived(driver.pgconn))
            yield blocks
    except psycopg.errors.InsufficientPrivilege as error:
        raise CatalogDenied(catalog) from error
    except psycopg.errors.ProgramLimitExceeded:
        driver.close()  # the rest of the rows must not be taken for another answer
        raise


def _refuse_long(length: int, longest: int) -> None:
    if length > longest:
        raise psycopg.errors.ProgramLimitExceeded(f"A row has {length:,} octets, more than {longest:,}.")


def _arrived(connection: psycopg.pq.abc.PGconn, longest: int = LONGEST_ROW) -> PQGen[tuple[list[bytes], bool]]:
    """Wait for blocks of a COPY. Return all blocks that have arrived, and whether the COPY has ended.

    This is faster than psycopg's `Copy`, which waits for each block. Each new session reads thousands of rows.
    Raises `ProgramLimitExceeded` for a row of more than `longest` octets.
    """
    blocks: list[bytes] = []
    while True:
        length, block = connection.get_copy_data(1)
        if length > 0:
            _refuse_long(length, longest)
            blocks.append(bytes(block))
        elif length < 0:
            _result(*(yield from generators.fetch_many(connection)))
            return blocks, True
        elif blocks:
            return blocks, False
        else:
            while not (yield Wait.R):
                continue
            connection.consume_input()


def fields_of(row: bytes) -> Fields:
    """Return the fields of a row from `copied_rows`."""
    found: list[bytes | None] = []
    place = 2
    while place < len(row):
        (length,) = unpack_from(">I", row, place)
        place += 4
        if length == _NO_VALUE:
            found.append(None)
            continue
        found.append(row[place : place + length])
        place += length
    return found


def oid_of(field: bytes | None) -> int:
    """Return the number in a field of the type `oid`; 0 for NULL."""
    return int.from_bytes(field or b"")


def oids_of(vector: bytes) -> list[int]:
    """Return the oids in a field of the type `oidvector`: a header of 20 bytes, then each oid after its length."""
    return [unpack_from(">I", vector, place + 4)[0] for place in range(20, len(vector), 8)]


def name_of(field: bytes | None) -> str:
    """Return the text in a field of the type `name`."""
    return (field or b"").decode("utf-8", "backslashreplace")
