"""A private database in which a check sorts and joins rows. It is a temporary file without a name.

Memory use is bounded. SQLite removes the file when the database is closed.
The content need not survive a crash.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import ClassVar, Final, Self

from authsec_server.failures import Unavailable

_CACHE_KIB: Final = 32_000


def scratch_database(*create: str) -> sqlite3.Connection:
    """Create an empty scratch database with the tables of these statements. Its transaction is never committed.

    Raises `sqlite3.Error`.
    """
    pragmas = ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}", "temp_store = FILE")
    with ExitStack() as opening:
        scratch = opening.enter_context(closing(sqlite3.connect("", isolation_level=None)))
        for statement in (*(f"PRAGMA {pragma}" for pragma in pragmas), "BEGIN", *create):
            scratch.execute(statement)
        opening.pop_all()
        return scratch


class ScratchCheck:
    """A base class for checks of an audited database. A check stores rows in a scratch database to compare them.

    `create` contains the SQL statements that create the tables of the scratch database.
    """

    create: ClassVar[Sequence[str]]

    def __init__(self, scratch: sqlite3.Connection) -> None:
        self._scratch = scratch

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[Self]:
        """Open the check with a new scratch database. Raises `sqlite3.Error` if the temporary folder is full."""
        with closing(scratch_database(*cls.create)) as scratch:
            yield cls(scratch)


@contextmanager
def enough_room() -> Iterator[None]:
    """Raise `Unavailable` if the temporary folder is full during a write to a scratch database in this context."""
    try:
        yield
    except sqlite3.Error as error:  # errors of the audited database come as SQLAlchemy's
        raise Unavailable(
            f"The check cannot write its temporary file: {error}.",
            "Free some space in the temporary folder, or set SQLITE_TMPDIR to another folder.",
        ) from error
