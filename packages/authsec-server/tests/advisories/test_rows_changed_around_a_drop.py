"""Raw SQL prepares a changed row for the day on which the events that say otherwise are dropped.

The event of a drop says the digests of all tables, computed from the rows that `verify` has confirmed. So the next
checks know them, though the events that made the rows are gone. Further drops do not disturb that.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from authsec.jose import PrivateKey
from authsec_server.audit.model import Decision, Event, EventKind, Named, Refusal, Tally
from authsec_server.audit.pages import above
from authsec_server.audit.rollup import roll_up
from authsec_server.audit.sealing.exporting import export
from authsec_server.audit.sealing.given import KeptExport
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.retention import Dropper
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.service import count_refusals, prepare_months, record, record_act
from authsec_server.clients import service
from authsec_server.clients.model import Onboarding
from authsec_server.db import Database, Tx
from authsec_server.db.table_digests import DIGESTED
from authsec_server.failures import Conflict
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.roles import service as roles
from databases import FilledOnce
from long_runs import some_of
from sqlalchemy import text

pytestmark = pytest.mark.sqlite_suffices
JTI = "3f0c0000000040008000000000000001"


def noon(month: int) -> datetime:
    return datetime.fromisoformat(f"2026-{month:02}-10T12:00:00+00:00")


def midnight(month: int) -> datetime:
    """The beginning of the month: the cut of a drop."""
    return datetime.fromisoformat(f"2026-{month:02}-01T00:00:00+00:00")


_year: FilledOnce[datetime] = FilledOnce()


class Year:
    """An authority whose agent is edited each month, from June to August."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.at = noon(6)
        self.files = list[list[str]]()
        self.tokens = 0
        for month in range(6, 9):
            database.append(lambda tx, month=month: prepare_months(tx, noon(month)))
        self.sealing_keyring = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
        self.keys = self.sealing_keyring.by_kid
        key = self.sealing_keyring.signing_key
        self.sealer = Sealer(database, issuer="https://a", signing_key=key, keys=self.keys, now=lambda: self.at)
        self.dropper = Dropper(database=database, sealer=self.sealer, issuer="https://a", keys=self.keys)
        self.at = _year.fill(database, self._fill)

    def _fill(self) -> datetime:
        self.sealing_keyring.keep(self.at)
        helper = Onboarding(name="Helper", platform="unattested")
        self.do(lambda tx, act: service.create(tx, act, helper))
        self.do(lambda tx, act: roles.create(tx, act, name="Support", actions=("customers:read",)))
        for month in range(6, 9):
            self.edit(month)
        return self.at

    @property
    def act(self) -> Act:
        return Act(
            principal=LOCAL_OPERATOR,
            now=self.at,
            request_id="req_000000000000000000000req",
            address="",
            token_bytes=secrets.token_bytes,
        )

    def do(self, work: Callable[[Tx, Act], Any]) -> None:
        self.database.change(lambda tx: work(tx, self.act))

    def edit(self, month: int) -> None:
        self.edit_at(max(self.at, noon(month)))
        self.settle()

    def edit_at(self, at: datetime) -> None:
        """An edit by a server whose clock says that time."""
        self.at = at
        self.database.append(lambda tx: prepare_months(tx, self.at))
        client = self.database.read(lambda tx: service.get(tx, self.act, "helper"))
        wanted = {"description": f"Edited after version {client.revision}"}
        self.do(lambda tx, act: service.edit(tx, act, "helper", revision=client.revision, changes=wanted))

    def seal(self, at: datetime) -> None:
        """The server's clock says that time as it seals."""
        self.at = at
        while self.sealer.seal():
            pass

    def settle(self) -> None:
        self.seal(self.at + timedelta(minutes=10))
        roll_up(self.database, self.at)

    def issue(self, slug: str = "helper", jti: str = "", **other: Any) -> None:
        """Record a token of this agent. `other` are further fields of the event. The first token has `JTI`."""
        self.tokens += 1
        client = self.database.read(lambda tx: service.get(tx, self.act, slug))
        token = Event(
            at=self.at,
            kind=EventKind.TOKEN_ISSUED,
            request_id=f"req_{self.tokens:024}",
            client=Named(id=client.id, name=client.name),
            decision=Decision.GRANTED,
            jti=jti or f"{JTI[:-4]}{self.tokens:04}",
            kid="k",
            token_sha256="0" * 64,
            expires_at=self.at + timedelta(hours=5),
            **other,
        )
        self.database.record(lambda tx: record(tx, replace(token, authority_version=tx.version)))

    def drop(self, month: int) -> None:
        lines = list(export(self.database))
        self.files.append(lines)
        self.dropper.drop(self.act, midnight(month), lines, sha256("".join(lines).encode()).hexdigest())
        self.settle()

    def report(self) -> Report:
        given = [KeptExport(f"{number}.jsonl", lines) for number, lines in enumerate(self.files)]
        return self.database.read(lambda tx: verify_log(tx, self.keys(), given=given, now=self.at))

    def run(self, statement: str) -> None:
        self.database.append(lambda tx: tx.connection.execute(text(statement)))


@pytest.fixture
def year(database: Database) -> Year:
    return Year(database)


@pytest.mark.soak  # other orders of changes are in every run
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


PRODUCTS = {"random": bytes(range(1, 256)) + bytes(129), "short": b"x", "long": bytes(385)}


@pytest.mark.parametrize("product", some_of(PRODUCTS.values()), ids=PRODUCTS)
def test_a_product_that_raw_sql_wrote_is_found_and_nothing_is_dropped(year: Year, product: bytes) -> None:
    """The event of the drop once left the table out, and the next change took the rows as they were."""
    wrong = text("UPDATE table_digests SET product = :product WHERE name = 'roles'").bindparams(product=product)
    year.database.append(lambda tx: tx.connection.execute(wrong))
    assert year.report().findings == ("table_digests does not match the rows of roles: raw SQL wrote it.",)
    with pytest.raises(Conflict, match="changed after it was sealed"):
        year.drop(7)


class Overtaken(Sealer):
    """A sealer whose key is asked for while a server changes a table: after the check, and before the record."""

    edit: Callable[[], None] | None = None

    def key(self) -> PrivateKey:
        edit, self.edit = self.edit, None
        if edit:
            edit()
        return super().key()


def test_a_drop_says_the_digest_of_a_table_that_changes_meanwhile(year: Year) -> None:
    keys = year.sealing_keyring
    sealer = Overtaken(
        year.database, issuer="https://a", signing_key=keys.signing_key, keys=year.keys, now=lambda: year.at
    )
    sealer.edit, year.dropper = lambda: year.edit_at(year.at), replace(year.dropper, sealer=sealer)
    year.drop(7)
    assert (year.report().findings, year.report().skipped) == ((), ())
    event = year.database.read(lambda tx: newest(tx, EventKind.EVENTS_DROPPED))
    assert set(event.tables) == set(DIGESTED)
    year.edit(9)
    assert year.report().findings == ()


def test_a_drop_that_says_no_digest_of_a_table_is_found(year: Year) -> None:
    detail = {"before": "2026-07", "events": 3}
    year.database.append(lambda tx: record_act(tx, year.act, EventKind.EVENTS_DROPPED, detail=detail))
    year.settle()
    assert "of a drop records no digest of roles: later changes of the table's rows may be undetected." in "".join(
        year.report().findings
    )


def newest(tx: Tx, kind: EventKind) -> Event:
    return next(each.event for each in reversed(above(tx.connection, 0, 1000)) if each.event.kind is kind)


def test_a_row_in_a_table_that_no_change_has_written_is_found(year: Year) -> None:
    year.run(
        "INSERT INTO admin_keys (id, name, role, key_sha256, created_at)"
        " VALUES ('00000000-0000-4000-8000-000000000001', 'planted', 'admin', 'x', '2026-06-10 12:00:00.000000')"
    )
    assert "Rows of admin_keys were changed in the database after event" in "".join(year.report().findings)


def test_a_drop_needs_no_kept_product(year: Year) -> None:
    year.run("DELETE FROM table_digests")
    year.drop(7)
    report = year.report()
    assert (report.findings, report.skipped) == ((), ())
    year.edit(9)
    assert year.report().findings == ()


SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the order of events needs no other SQL


@SQLITE
@pytest.mark.parametrize("minutes", some_of([3, 4], each=2))
def test_a_drop_in_the_first_minutes_of_a_month_is_no_finding(year: Year, minutes: int) -> None:
    """A cron job drops the month that has just ended, and nothing else is written that night."""
    year.at = midnight(9) + timedelta(minutes=minutes)
    roll_up(year.database, year.at)
    year.drop(9)
    report = year.report()
    assert (report.findings, report.skipped) == ((), ())
    year.edit(9)
    assert year.report().findings == ()


OTHER_ORDERS = {
    "two servers, one 80 seconds behind": ("09-01T00:05:30", "09-01T00:04:10", "09-01T00:06:30"),
    "the later change was the last of the month": ("09-01T00:05:30", "09-01T00:04:10"),
    "two requests that waited for the lock": ("09-01T00:05:00.010", "09-01T00:04:59.990", "09-01T00:06:00"),
    "a server a month behind": ("09-05T10:00:00", "08-05T10:00:00", "09-05T11:00:00"),
}


@SQLITE
@pytest.mark.parametrize("times", some_of(OTHER_ORDERS.values(), each=4), ids=OTHER_ORDERS)
def test_changes_in_another_order_of_time_than_of_version_are_no_finding(year: Year, times: tuple[str, ...]) -> None:
    for each in times:
        year.edit_at(datetime.fromisoformat(f"2026-{each}+00:00"))
        year.seal(max(year.at, midnight(9)))
    drop_august(year)


@pytest.mark.soak  # other orders of changes are in every run
@SQLITE
def test_a_change_that_was_dropped_between_two_that_were_left_is_no_finding(year: Year) -> None:
    """The clock of one server is seven minutes ahead, in the last minute of a month."""
    for at in ("09-01T00:06:00", "08-31T23:59:10", "09-01T00:06:20"):
        year.edit_at(datetime.fromisoformat(f"2026-{at}+00:00"))
    year.seal(midnight(9) - timedelta(seconds=30))
    drop_august(year)


@SQLITE
def test_a_token_of_an_agent_whose_enabling_was_dropped_is_no_finding(year: Year) -> None:
    """The clock of the server that disables the agent is seven minutes ahead, in the last minute of a month."""
    steps = {"09-01T00:06:00": service.disable, "08-31T23:59:10": service.enable}
    for at, step in steps.items():
        year.at = datetime.fromisoformat(f"2026-{at}+00:00")
        year.do(lambda tx, act, step=step: step(tx, act, "helper"))
    year.seal(midnight(9) - timedelta(seconds=30))
    year.at = midnight(9) + timedelta(minutes=1)
    year.issue()
    drop_august(year)


@pytest.mark.soak  # other orders of changes are in every run
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer
def test_a_change_that_was_sealed_after_a_later_one_is_no_finding(year: Year) -> None:
    """A refusal is counted while the first change is not yet committed, so the sealer overlooks it for ten seconds."""
    refusal = Refusal(kind=EventKind.ADMIN_REFUSED, address="192.0.2.7", principal=LOCAL_OPERATOR, reason="no")
    tally = Tally(count=1, request_id="req_000000000000000000000req")
    new = Onboarding(name="Another", platform="unattested")

    def slow(tx: Tx, act: Act) -> None:
        service.create(tx, act, new)
        year.database.append(lambda other: count_refusals(other, {refusal: tally}, year.at))
        year.seal(midnight(9) - timedelta(seconds=7))

    year.at = midnight(9) - timedelta(seconds=20)
    year.seal(year.at)
    year.at = midnight(9) - timedelta(seconds=8)
    year.do(slow)
    year.edit_at(midnight(9) - timedelta(seconds=5))
    year.seal(midnight(9) - timedelta(seconds=2))
    year.seal(midnight(9) + timedelta(seconds=6))
    drop_august(year)


def drop_august(year: Year) -> None:
    """In September, and nothing is found before, then or later."""
    year.at = noon(9)
    year.settle()
    assert year.report().findings == ()
    year.drop(9)
    report = year.report()
    assert (report.findings, report.skipped) == ((), ())
    year.edit(9)
    assert year.report().findings == ()
