"""Raw SQL prepares a changed row for the day on which the events that say otherwise are dropped.

The event of a drop says the digests of all tables, computed from the rows that `verify` has confirmed. So the next
checks know them, though the events that made the rows are gone. Further drops do not disturb that.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from authsec_server.audit.rollup import roll_up
from authsec_server.audit.sealing.dropping import Dropper
from authsec_server.audit.sealing.exporting import export
from authsec_server.audit.sealing.given import Given
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.trail import Report
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.service import prepare_months
from authsec_server.clients import changes, service
from authsec_server.clients.model import Changes, Onboarding
from authsec_server.db import Database, Tx, metadata
from authsec_server.db.table_digests import product_of_rows, stored, write_products
from authsec_server.keys.journal import JournalKeys
from authsec_server.keys.master import MasterKey
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.roles import service as roles
from sqlalchemy import text


def noon(month: int) -> datetime:
    return datetime.fromisoformat(f"2026-{month:02}-10T12:00:00+00:00")


class Year:
    """An authority whose agent is edited each month, from June to August."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.at = noon(6)
        self.files = list[list[str]]()
        database.append(lambda tx: prepare_months(tx, self.at))
        journal_keys = JournalKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
        journal_keys.keep(self.at)
        self.keys = journal_keys.by_kid
        key = journal_keys.signing_key
        self.sealer = Sealer(database, issuer="https://a", signing_key=key, keys=self.keys, now=lambda: self.at)
        self.dropper = Dropper(database=database, sealer=self.sealer, issuer="https://a", keys=self.keys)
        helper = Onboarding(name="Helper", platform="unattested")
        self.do(lambda tx, act: service.create(tx, act, helper))
        self.do(lambda tx, act: roles.create(tx, act, name="Support", actions=("customers:read",)))
        for month in range(6, 9):
            self.edit(month)

    @property
    def act(self) -> Act:
        return Act(principal=LOCAL_OPERATOR, now=self.at, request_id="req", address="", token_bytes=secrets.token_bytes)

    def do(self, work: Callable[[Tx, Act], Any]) -> None:
        self.database.change(lambda tx: work(tx, self.act))

    def edit(self, month: int) -> None:
        self.at = max(self.at, noon(month))
        self.database.append(lambda tx: prepare_months(tx, self.at))
        client = self.database.read(lambda tx: service.get(tx, self.act, "helper"))
        wanted = Changes(description=f"In month {month}")
        self.do(lambda tx, act: changes.edit(tx, act, "helper", revision=client.revision, changes=wanted))
        self.settle()

    def settle(self) -> None:
        self.at += timedelta(minutes=10)
        while self.sealer.seal():
            pass
        roll_up(self.database, self.at)

    def drop(self, month: int) -> None:
        lines = list(export(self.database))
        self.files.append(lines)
        before, digest = noon(month).replace(day=1, hour=0), sha256("".join(lines).encode()).hexdigest()
        self.dropper.drop(self.act, before, lines, digest)
        self.settle()

    def report(self) -> Report:
        given = [Given(f"{number}.jsonl", lines) for number, lines in enumerate(self.files)]
        return self.database.read(lambda tx: verify_log(tx, self.keys(), given=given, now=self.at))

    def run(self, statement: str) -> None:
        self.database.append(lambda tx: tx.connection.execute(text(statement)))


@pytest.fixture
def year(database: Database) -> Year:
    return Year(database)


def test_two_drops_disturb_no_chain(year: Year) -> None:
    year.drop(7)
    assert year.report().findings == ()
    for month in (9, 10, 11):
        year.edit(month)
    year.drop(10)  # the event of the first drop stays, though it is older
    report = year.report()
    assert (report.findings, report.skipped) == ((), ())
    year.edit(11)
    assert year.report().findings == ()


def test_a_row_that_was_changed_after_its_events_were_dropped_is_found(year: Year) -> None:
    year.drop(7)
    year.run("UPDATE roles SET name = 'Other'")
    assert "Rows of roles were changed in the database after event" in "".join(year.report().findings)


def test_products_that_were_written_before_a_drop_become_no_witness(year: Year) -> None:
    def plant(tx: Tx) -> None:
        names = [each.name for each in metadata.tables["roles"].columns]
        rows = [dict(row) for row in tx.connection.execute(stored(tx.connection, "roles", names)).mappings()]
        write_products(tx.connection, {"roles": product_of_rows("roles", [row | {"name": "Other"} for row in rows])})

    year.database.append(plant)
    year.drop(7)
    year.run("UPDATE roles SET name = 'Other'")
    assert "No event says the digest of roles." in year.report().findings


def test_a_row_in_a_table_that_no_change_has_written_is_found(year: Year) -> None:
    year.run(
        "INSERT INTO admin_keys (id, name, role, key_sha256, created_at)"
        " VALUES ('00000000-0000-4000-8000-000000000001', 'planted', 'admin', 'x', '2026-06-10 12:00:00.000000')"
    )
    assert "Rows of admin_keys were changed in the database after event" in "".join(year.report().findings)


def test_data_of_before_there_were_digests_can_be_dropped(year: Year) -> None:
    """No change has been made since the upgrade, so no product is kept."""
    year.run("DELETE FROM table_digests")
    year.drop(7)
    report = year.report()
    assert (report.findings, report.skipped) == ((), ())
    year.edit(9)
    assert year.report().findings == ()
