"""The comparison of a running server's database with its outside heads.

While there is a problem, the server issues nothing, changes nothing and keeps the feed back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from authsec_server.audit.sealing.heads import Head, Keys
from authsec_server.audit.sealing.outside import (
    MOST_BYTES,
    Lines,
    Outside,
    find_older,
    find_problem,
    has_heads,
    newest_size,
    outside_heads,
    read_lines,
)
from authsec_server.audit.sealing.restores import restores_in
from authsec_server.db import Database

COPIED: Final = (
    "The database file was copied while a server ran, without its -wal file: its last transactions are missing."
)


@dataclass(slots=True, kw_only=True)
class Comparison:
    """The comparison of one process. `problem` is None while the database is what its outside heads say.

    `not_compared` says why there is nothing to compare with. `path` is None where heads go to an address or nowhere.
    """

    database: Database
    path: Path | None
    to_address: bool = False
    keys: Callable[[], Keys] = dict  # the sealing keys, once the database is open
    issuer: str = ""
    problem: str | None = None
    not_compared: str = ""
    _lines: Lines = field(default_factory=Lines)
    _recorded: int | None = None  # restores, when the file was found to be a copy without its -wal file
    _last: Head | None = None  # the newest head that this process saw in the database

    def read_file(self) -> None:
        """Read the end of the file: before the database, which is then at least as new."""
        self._lines = read_lines(self.path) if self.path else Lines()
        if self.to_address:
            self.not_compared = "the outside heads go to an address, which is not read"
        else:
            self.not_compared = self._lines.unread

    def why_not_compared(self) -> str:
        """Why nothing says whether the database is older; empty where it was compared with a head."""
        if self.problem:
            return ""
        if self.not_compared or self._lines.lines or self._last:
            return self.not_compared
        return f"{self.path} has no heads" if self.path else "no file of outside heads is known"

    def note(self, head: Head) -> None:
        """A head that this process signed, or saw in the database."""
        self._last = head

    def compare(self) -> str | None:
        """Compare what `read_file` read with the database; the problem. Raises `Unavailable`."""
        if not self._lines.lines and self._last is None and not self.database.lacks_wal:
            self._note_new_file("is new or empty")
            return None  # there is nothing to compare with, and the keys may be elsewhere
        keys = self.keys()
        outside = outside_heads(self._lines.lines, keys, self.issuer)
        if self._lines.cut and self.path and not _mostly_heads(outside, self._lines):
            self._lines = read_lines(self.path, MOST_BYTES)
            outside = outside_heads(self._lines.lines, keys, self.issuer)
        if not outside.heads and not outside.unknown and self._last is None:
            self._note_new_file("has no head of this authority")
        if self._last:
            outside = Outside(heads=[*outside.heads, self._last], unknown=outside.unknown)
        problem = self.database.read(lambda tx: find_problem(tx, outside, keys))
        if self.database.lacks_wal and problem is None:
            return self._copied(outside, keys)
        return problem

    def _note_new_file(self, why: str) -> None:
        """A mistyped path must not pass for a comparison. A new authority has signed no head yet."""
        if self.path and not self.not_compared and self.database.read(newest_size):
            self.not_compared = (
                f"{self.path} {why}, though this database has signed heads: this start would not notice an older"
                " database. If the path is right, later starts compare"
            )

    def _copied(self, outside: Outside, keys: Keys) -> str | None:
        """Whether the file is a plain copy that lacks something: neither a head nor a recorded restore says otherwise.

        A program that knows no mark may have been the last to close the file of a killed server: nothing is lost then.
        """
        recorded = self.database.read(lambda tx: len(restores_in(tx.connection, keys)))
        self._recorded = recorded if self._recorded is None else self._recorded
        if recorded == self._recorded and not self.database.read(lambda tx: has_heads(tx, outside, keys)):
            return COPIED
        self.database.lacks_wal = False
        return None

    def has_gone_back(self) -> bool:
        """Whether the database has become older than this process saw it: a quick look. Raises `Unavailable`."""
        last = self._last
        return last is not None and self.database.read(lambda tx: find_older(tx, [last])) is not None

    def begin_anew(self) -> None:
        """Forget what this process saw: a restore was recorded."""
        self._last = None


def _mostly_heads(outside: Outside, lines: Lines) -> bool:
    return len(outside.heads) >= len(lines.lines) // 2


def comparison_of(where: str, database: Database) -> Comparison:
    """The comparison that the setting wants: with a file, or with nothing."""
    to_address = "://" in where
    path = Path(where) if where and not to_address else None
    return Comparison(database=database, path=path, to_address=to_address)
