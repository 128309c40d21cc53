"""Find text that is not UTF-8 in the tables of an SQLite file that no event covers.

The attack: SQLite stores any octets as text, and the driver reads only UTF-8. One such value in `authority` makes every
server and command refuse the database as damaged, and no event shows the cause.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection

# `verify` compares the text of all other tables with events. Of administrators, no event has the password hash.
TABLES: Final = (
    "administrators",
    "authority",
    "enrolments",
    "feed_followers",
    "feed_keys",
    "sealing_key_lists",
    "sealing_keys",
    "sessions",
    "setup_links",
    "table_digests",
    "trusted_issuer_keys",
    "used_assertions",
)
_LONGEST: Final = 2**20  # octets of a text that are read
_UTF_8 = getincrementaldecoder("utf-8")


def text_findings(connection: Connection, table: str) -> Iterator[str]:
    """Yield a sentence for each column of this table that has text in another encoding than UTF-8."""
    names = [each.name for each in connection.exec_driver_sql(f"PRAGMA main.table_info({table})")]
    octets = (f"CASE typeof({name}) WHEN 'text' THEN substr(CAST({name} AS BLOB), 1, {_LONGEST}) END" for name in names)
    wrong = set[str]()
    with connection.exec_driver_sql(f"SELECT {', '.join(octets)} FROM {table} NOT INDEXED") as rows:  # noqa: S608 - of the schema
        for row in rows:
            wrong.update(name for name, value in zip(names, row, strict=True) if not _is_utf_8(value))
    for name in names:
        if name in wrong:
            yield f"The column {name} of the table {table} has a text that is not UTF-8, which no server can read."


def _is_utf_8(octets: Any) -> bool:
    try:
        _UTF_8().decode(octets or b"", final=len(octets or b"") < _LONGEST)
    except UnicodeDecodeError:
        return False
    return True
