"""An event without a seal is dated after the check. The clock of a server is ahead, or somebody inserted the event.

On PostgreSQL, a server whose clock is ten minutes ahead seals nothing, and changes rows meanwhile. `verify` once
ignored its events and reported the changed rows of an honest history. The log cannot show whether a person inserted
such an event with the row. So `verify` believes the event, names event and table, and ends with status 6 until a server
seals the event.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from authsec_server.accounts import admin_keys
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.service import record_act
from authsec_server.clients import service
from authsec_server.clients.model import Onboarding
from authsec_server.db import Database
from authsec_server.failures import Conflict
from authsec_server.keys import service as signing_keys
from authsec_server.principal import Role
from long_runs import some_of

sys.path.insert(0, str(Path(__file__).parent))
from test_restore_whose_month_is_dropped import new_key
from test_rows_changed_around_a_drop import Year, midnight

pytestmark = [pytest.mark.changes_rows_only, pytest.mark.sqlite_suffices]

AHEAD = timedelta(minutes=10)


@pytest.fixture
def year(database: Database) -> Year:
    year = Year(database)
    year.do(lambda tx, act: signing_keys.ensure(tx, act, new_key))
    year.settle()
    return year


def checked(year: Year) -> Report:
    """A check by a right clock."""
    return year.database.read(lambda tx: verify_log(tx, year.keys(), now=year.at))


def ahead(year: Year, work: Callable[[Year], None]) -> None:
    """A server does this while its clock is ahead."""
    year.at += AHEAD
    work(year)
    year.at -= AHEAD


def edit(year: Year) -> None:
    year.edit_at(year.at)


def disable(year: Year) -> None:
    year.do(lambda tx, act: service.disable(tx, act, "helper"))


def disable_and_enable(year: Year) -> None:
    disable(year)
    year.do(lambda tx, act: service.enable(tx, act, "helper"))
    year.issue()


def rename(year: Year) -> None:
    client = year.database.read(lambda tx: service.get(tx, year.act, "helper"))
    year.do(lambda tx, act: service.edit(tx, act, "helper", revision=client.revision, changes={"slug": "other"}))


def create(year: Year) -> None:
    year.do(lambda tx, act: service.create(tx, act, Onboarding(name="Other", platform="unattested")))


def make_a_key(year: Year) -> None:
    year.do(lambda tx, act: admin_keys.create(tx, act, name="ci", role=Role.VIEWER))


WORKS = {each.__name__: each for each in (edit, disable, disable_and_enable, rename, create, make_a_key)}


@pytest.mark.parametrize("minutes", some_of([1, 8], each=2))
@pytest.mark.parametrize("work", some_of(WORKS.values(), each=3), ids=WORKS)
def test_a_server_ahead_that_seals_nothing_is_no_finding(
    year: Year, work: Callable[[Year], None], minutes: int
) -> None:
    year.at += timedelta(minutes=minutes)  # after the last checkpoint
    ahead(year, work)
    report = checked(year)
    assert (report.findings, report.as_sealed) == ((), True)
    told = "\n".join(report.skipped)
    assert "after this check. A server's clock is ahead, or this machine's clock is behind" in told
    year.seal(year.at + AHEAD)  # the clock is right
    report = checked(year)
    assert (report.findings, report.skipped) == ((), ())


def test_a_planted_event_of_the_future_is_named_with_the_table(year: Year) -> None:
    """The checkpoint is of this minute: a present event would be believed for some minutes."""
    number = year.database.read(lambda tx: tx.connection.exec_driver_sql("SELECT max(id) FROM events").scalar_one()) + 1
    ahead(year, edit)  # as raw SQL writes both
    told = "\n".join(checked(year).skipped)
    assert f"Event {number} has no seal, and event {number} is dated" in told
    assert f"Only event {number}, which has no seal, says that clients were changed." in told


def test_a_row_that_the_event_does_not_explain_is_found(year: Year) -> None:
    ahead(year, edit)
    year.run("UPDATE roles SET name = 'Other'")
    assert "Rows of roles were changed in the database after event" in "".join(checked(year).findings)


def test_a_planted_sign_in_of_the_future_explains_no_last_use_unseen(year: Year) -> None:
    make_a_key(year)
    year.settle()
    year.at += AHEAD

    def sign_in(year: Year) -> None:
        year.database.append(lambda tx: record_act(tx, year.act, EventKind.ADMIN_SIGN_IN))

    ahead(year, sign_in)
    assert "is dated" in "".join(checked(year).skipped)


class Stopped(Sealer):
    """A sealer whose clock differs from the database's clock."""

    def seal(self) -> bool:
        return False


def test_a_drop_is_refused_until_the_event_is_sealed(year: Year) -> None:
    year.at = midnight(9) + timedelta(days=1)
    year.settle()
    ahead(year, edit)
    dropper, keys = year.dropper, year.sealing_keyring
    stopped = Stopped(
        year.database, issuer="https://a", signing_key=keys.signing_key, keys=year.keys, now=lambda: year.at
    )
    year.dropper = replace(dropper, sealer=stopped)
    with pytest.raises(Conflict, match="not sealed to its end"):
        year.drop(9)
    year.dropper = dropper
    year.seal(year.at + AHEAD)
    year.drop(9)
    assert checked(year).findings == ()


def test_an_event_of_more_than_a_day_ahead_explains_nothing(year: Year) -> None:
    year.at += timedelta(days=2)
    edit(year)
    year.at -= timedelta(days=2)
    assert "Rows of clients were changed in the database after event" in "".join(checked(year).findings)
