"""Shared parts of all tables: metadata, column types for times and JSON, and the authority version's table.

Each time and each JSON value has one canonical form, and a read refuses any other form. The reason: SQL
compares the stored text, but Python compares the parsed value. Without a canonical form, raw SQL could make
the two comparisons disagree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Dialect, Integer, MetaData, String, Table, Text
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeDecorator, TypeEngine

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only an INTEGER PRIMARY KEY

authority = Table(
    "authority",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_row"), primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    Column("issuer", Text),
    Column("issuer_mac", String(64)),  # by the master key: raw SQL can write no other issuer
    Column("checkpoints_file", Text),
    Column("change_id", String(32), nullable=False, server_default=""),  # random, of the change that made the version
    Column("schema_release", String(20), nullable=False, server_default=""),  # these three: `migrate.upgrade`
    Column("oldest_release", String(20), nullable=False, server_default=""),
    Column("later_columns", Text, nullable=False, server_default="{}"),
    Column("master_key_id", String(32), nullable=False, server_default=""),  # empty until the first change of the key
)


class NotCanonical(ValueError):
    """The error for a stored value that is not in the canonical form. The message quotes no stored text."""


class _SqliteInstant(sqlite.DATETIME):
    """UTC text with microseconds, `2026-11-25 12:00:00.000000`. Any other form is refused."""

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:  # noqa: ARG002 - SQLAlchemy calls it so
        return read_instant


def read_instant(value: Any) -> datetime | None:
    """Parse an instant as SQLite stores it; None for None. The result has no time zone. Raises `NotCanonical`."""
    if value is None:
        return None
    try:
        read = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise NotCanonical("This is not an instant.") from None
    if read.tzinfo is not None or read.isoformat(" ", "microseconds") != value:
        raise NotCanonical("The form of this instant differs from the form that AuthSec writes.")
    return read


class Instant(TypeDecorator[datetime]):
    """A point in time, in Python always aware and in UTC: `timestamptz` on PostgreSQL, UTC text on SQLite.

    Raises `NotCanonical` for text of another form.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(_SqliteInstant())  # type: ignore[no-untyped-call] # SQLAlchemy's has no types
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        utc = value.astimezone(UTC)
        return utc if dialect.name == "postgresql" else utc.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if dialect.name == "postgresql" else value.replace(tzinfo=UTC)


def as_stored(at: datetime, dialect: str) -> datetime | str:
    """Return the instant as the driver stores it, for a statement that SQLAlchemy does not build."""
    utc = at.astimezone(UTC)
    return utc if dialect == "postgresql" else utc.replace(tzinfo=None).isoformat(" ", "microseconds")


class CanonicalJson(TypeDecorator[Any]):
    """JSON text in one canonical form: sorted names, no spaces, ASCII only with escapes.

    Raises `NotCanonical` for text of another form: spaces, duplicate members, other escapes.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:  # noqa: ARG002 - SQLAlchemy calls it so - the same on both
        return canonical_json(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002 - SQLAlchemy calls it so - the same on both
        return read_canonical_json(value)


class Flag(TypeDecorator[bool]):
    """A boolean as the text `true` or `false`. A column that a migration adds later has this type, not `Boolean`.

    Rows from before the migration keep their digests only if both databases store the default as the same text
    (`table_digests`). Any text but `false` is true.
    """

    impl = String(5)
    cache_ok = True

    def process_bind_param(self, value: bool | None, dialect: Dialect) -> str:  # noqa: ARG002 - SQLAlchemy calls it so
        return "true" if value else "false"

    def process_result_value(self, value: str | None, dialect: Dialect) -> bool:  # noqa: ARG002 - SQLAlchemy calls it so
        return value != "false"


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
LONGEST_JSON: Final = 2**20  # characters
_DEEPEST = 32  # arrays and objects in one another


_NUL: Final = re.compile(
    r"(?<!\\)((?:\\\\)*)\\u0000"
)  # not the text of such an escape: the number of backslashes is odd


def canonical_json(value: Any) -> str:
    """Encode the value as canonical JSON. U+FFFD replaces NUL, which a PostgreSQL text cannot contain."""
    text = _CANONICAL.encode(value)
    return _NUL.sub(r"\1\\ufffd", text) if "\\u0000" in text else text


def read_canonical_json(text: Any) -> Any:
    """Parse canonical JSON. Raises `NotCanonical` for any other text.

    Lone surrogates and NaN are refused as well, because no response can contain them.
    """
    try:
        if isinstance(text, str) and len(text) <= LONGEST_JSON:
            value = json.loads(text)
            if canonical_json(value) == text and _is_shallow(value, text) and _is_unicode(value, text):
                return value
    except (ValueError, RecursionError):
        pass  # no JSON at all: refused below
    raise NotCanonical("This is not JSON in the form that AuthSec writes.")


def _is_shallow(value: Any, text: str) -> bool:
    if text.count("[") + text.count("{") <= _DEEPEST:  # an upper bound of the depth; this test is mostly enough
        return True
    level = [value]
    for _ in range(_DEEPEST):
        nested = [each for each in level if isinstance(each, dict | list)]
        level = [inner for each in nested for inner in (each.values() if isinstance(each, dict) else each)]
    return not any(isinstance(each, dict | list) for each in level)


def _is_unicode(value: Any, text: str) -> bool:
    """Return true if UTF-8 can encode all text of the value. Otherwise raise `UnicodeEncodeError`."""
    return "\\ud" not in text or bool(json.dumps(value, ensure_ascii=False).encode())
