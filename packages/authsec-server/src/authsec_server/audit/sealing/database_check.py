"""Check the database itself: first PostgreSQL's own catalogs, then the schema, then the tables and indexes.

The order stops an attack: PostgreSQL's planner runs the functions in the condition of an index.
So the catalogs and the schema are compared before any table of AuthSec is read. If PostgreSQL could run a foreign
function for an object that differs, no table is read: the function may never end, or lead the session elsewhere.

SQLite calls only its own functions, but an expression can take hours. SQLite computes the expressions of views and
generated columns when a statement reads them, and the expressions of constraints and indexes when it checks a table.
So SQLite checks only tables with the migrations' definition. If a table of AuthSec has another definition, no table is
read.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from authsec_server.audit.sealing.log_check import MOST, Report
from authsec_server.db import Tx
from authsec_server.db.catalog import compare_schema, tables_of_authsec
from authsec_server.db.integrity import Integrity, compare_catalogs, foreign_since, integrity
from authsec_server.db.postgresql_catalog import any_text_of_catalogs, hold_tables, led_away

_NOT_READ = (
    "No table was read, because PostgreSQL could run code of others for an object of the schema that differs. Drop the "
    "objects that are unknown to AuthSec, and verify again."
)


@dataclass(slots=True)
class DatabaseCheck:
    """The checks of one database and their results so far.

    If a later read fails and `explains_errors` is true, the findings so far are the reason.
    Without `readers`, the caller does not ask the questions of readers.
    """

    connection: Connection
    readers: bool = True
    checked: Integrity = field(default_factory=Integrity)
    of_schema: list[str] = field(default_factory=list)
    explains_errors: bool = False
    may_run_code: bool = False
    other_version: str = ""  # how to check the schema of another AuthSec

    @property
    def findings(self) -> list[str]:
        """Return all findings. Findings about the schema are last."""
        return [*self.checked.findings, *self.of_schema]

    @property
    def is_postgresql(self) -> bool:
        return self.connection.dialect.name == "postgresql"

    def run(self, *, deep: bool = False) -> None:
        """Run all checks. Raises the errors of the database driver; the results up to the error are kept."""
        with any_text_of_catalogs(self.connection):
            self._run(deep=deep)

    def _run(self, *, deep: bool) -> None:
        catalogs = None
        if self.is_postgresql:
            catalogs = compare_catalogs(self.connection)
            self.checked = Integrity(findings=catalogs.findings)
            self.explains_errors = bool(catalogs.findings)
            hold_tables(self.connection, tables_of_authsec())  # else a copy could get a table's name for a moment
            self._compare_schema()
            if self.may_run_code or self.other_version:
                return
        self.checked = integrity(self.connection, deep=deep, catalogs=catalogs)
        self.explains_errors |= bool(self.checked.findings)
        if not self.is_postgresql:
            self._compare_schema()

    def _compare_schema(self) -> None:
        compared = compare_schema(self.connection)
        self.of_schema, self.may_run_code = compared.findings, compared.may_run_code
        self.other_version = compared.other_version
        # With a schema of another version, the finding says that this program cannot read the tables.
        self.explains_errors |= bool(self.of_schema) and (not self.is_readable or compared.is_current)

    def end(self) -> bool:
        """Look for foreign code once more, now that the tables were read. Return whether to ask readers' questions.

        The attack: somebody adds foreign code after `run` has looked for it. The code makes the session read false
        values, or sets a search path that leads to other tables.
        """
        if self.is_postgresql:
            with any_text_of_catalogs(self.connection):
                self.of_schema += foreign_since(self.connection, known=self.checked.findings)
                self.of_schema += filter(None, [led_away(self.connection)])
        return self.readers and not self.findings

    @property
    def is_readable(self) -> bool:
        """Whether the tables can be read. If not, a finding has the reason."""
        return self.checked.is_readable and not self.may_run_code and not self.other_version

    def unreadable(self) -> Report:
        """Return the report on a database that is too damaged to read all tables, or has another AuthSec's schema."""
        if self.other_version and not self.findings:
            return not_checked(self.other_version)
        more = max(0, len(self.findings) - MOST)
        unread = _NOT_READ if self.may_run_code else "The tables could not be read to the end."
        last = self.other_version or unread
        findings = (*self.findings[:MOST], last)
        return Report(sealed=0, not_yet=0, last=None, findings=findings, more=more)


def not_checked(reason: str) -> Report:
    """Return the report on a database of which nothing was checked, for this reason."""
    return Report(sealed=0, not_yet=0, last=None, findings=(), more=0, skipped=(reason,), is_checked=False)


def unopened(reason: str) -> Report:
    """Return the report on a database file that SQLite does not open, for this reason."""
    return Report(sealed=0, not_yet=0, last=None, findings=(f"The database file is damaged: {reason}.",), more=0)


def damage(tx: Tx) -> Report | None:
    """Return a report if the database is too damaged to be read; None if its indexes and schema are intact."""
    check = DatabaseCheck(tx.connection)
    with suppress(DatabaseError):  # in a damaged file, even the schema may be unreadable
        check.run()
    return check.unreadable() if check.explains_errors or check.other_version else None
