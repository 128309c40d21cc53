"""Check the database below the audit log: PostgreSQL's own catalogs, the schema, then the tables and indexes.

The order stops an attack: PostgreSQL's planner runs functions in an index's condition. So no table of AuthSec is
read before the catalogs and the schema were compared. SQLite runs no such functions.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from authsec_server.audit.sealing.trail import MOST, Report
from authsec_server.db import Tx
from authsec_server.db.catalog import schema_findings
from authsec_server.db.integrity import Integrity, compare_catalogs, integrity
from authsec_server.db.migrate import is_current
from authsec_server.db.postgresql_catalog import led_away


@dataclass(slots=True)
class DatabaseCheck:
    """The results so far. `explains_errors`: the findings are the reason if a later read fails."""

    connection: Connection
    checked: Integrity = field(default_factory=Integrity)
    of_schema: list[str] = field(default_factory=list)
    explains_errors: bool = False

    @property
    def findings(self) -> list[str]:
        """Return the findings, those of the schema last."""
        return [*self.checked.findings, *self.of_schema]

    @property
    def is_postgresql(self) -> bool:
        return self.connection.dialect.name == "postgresql"

    def run(self, *, deep: bool = False) -> None:
        """Run all checks. Raises the driver's errors; the results so far stay."""
        catalogs = None
        if self.is_postgresql:
            catalogs = compare_catalogs(self.connection)
            self.checked = Integrity(findings=catalogs.findings)
            self.explains_errors = bool(catalogs.findings)
            self._compare_schema()
        self.checked = integrity(self.connection, deep=deep, catalogs=catalogs)
        self.explains_errors |= bool(self.checked.findings)
        if not self.is_postgresql:
            self._compare_schema()

    def _compare_schema(self) -> None:
        self.of_schema = schema_findings(self.connection)
        # With a schema of another version, the finding says that this program cannot read the tables.
        self.explains_errors |= bool(self.of_schema) and is_current(self.connection)

    def end(self) -> None:
        """Add a finding if code of others has led this session to other tables meanwhile."""
        if self.is_postgresql and (finding := led_away(self.connection)):
            self.of_schema.append(finding)

    def unreadable(self) -> Report:
        """Return the report on a damaged database that cannot be read any further."""
        more = max(0, len(self.findings) - MOST)
        findings = (*self.findings[:MOST], "The tables could not be read to the end.")
        return Report(sealed=0, not_yet=0, last=None, findings=findings, more=more)


def damage(tx: Tx) -> Report | None:
    """Return a report on a damaged database that cannot be read completely; None if indexes and schema are intact."""
    check = DatabaseCheck(tx.connection)
    with suppress(DatabaseError):  # of a damaged file even the schema may be unreadable
        check.run()
    return check.unreadable() if check.explains_errors else None
