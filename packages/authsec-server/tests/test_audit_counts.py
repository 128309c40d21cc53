"""Counts: whatever was rolled up, and whenever, the numbers are those of the audit log."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from authsec_server.audit import counts, rollup
from authsec_server.audit import service as audit
from authsec_server.audit.count_rows import TABLES, stored_rows
from authsec_server.audit.counting import LastUse, day_of, hour_of
from authsec_server.audit.counts import Point, RepeatedRefusal, Totals
from authsec_server.audit.event_numbers import next_numbers
from authsec_server.audit.model import Decision, Event, EventKind, Named, Refusal, Tally
from authsec_server.audit.recount import decided
from authsec_server.audit.sealing.count_check import CountCheck
from authsec_server.audit.sealing.scan import Scan
from authsec_server.audit.store import events
from authsec_server.db import Database, Tx
from authsec_server.principal import Act
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from examples import examples

pytestmark = pytest.mark.changes_rows_only

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CLIENTS = ("client-a", "client-b")
DELEGATIONS = ("delegation-1", "delegation-2")
ROLES = ("role-1", "role-2")
PROOFS = ("proof-1", "proof-2")
ACTIONS = ("customers:read", "customers:delete")
REASONS = ("action_not_allowed", "client_disabled")
START = NOW - timedelta(days=3)


@dataclass(frozen=True)
class Happening:
    """One event, or `times` counted refusals, so many seconds after `START`."""

    seconds: float
    issued: bool
    client: str | None
    under: frozenset[int]
    actions: frozenset[str]
    proof: str
    reason: str
    times: int

    @property
    def at(self) -> datetime:
        exactly = START + timedelta(seconds=self.seconds)
        return exactly if self.times == 1 else exactly.replace(second=0, microsecond=0)


happenings = st.builds(
    Happening,
    seconds=st.integers(0, 3 * 86_400 - 1) | st.integers(0, 300),
    issued=st.booleans(),
    client=st.sampled_from(CLIENTS),
    under=st.frozensets(st.sampled_from([0, 1]), min_size=1),
    actions=st.frozensets(st.sampled_from(ACTIONS), min_size=1),
    proof=st.sampled_from(PROOFS),
    reason=st.sampled_from(REASONS),
    times=st.sampled_from([1, 1, 5]),
).map(lambda each: replace(each, times=1) if each.issued else each)


def write(database: Database, history: Sequence[Happening]) -> None:
    def work(tx: Tx) -> None:
        for each in history:
            client = Named(id=each.client, name="Agent") if each.client else None
            if each.issued:
                audit.record(tx, issued(each, client))
            elif each.times == 1:
                audit.record(tx, refused(each, client))
            else:
                refusal = Refusal(address="192.0.2.7", client=client, reason=each.reason)
                audit.count_refusals(
                    tx, {refusal: Tally(count=each.times, request_id="req_00000000000000000000000v")}, each.at
                )

    database.append(work)


def issued(each: Happening, client: Named | None) -> Event:
    return Event(
        at=each.at,
        kind=EventKind.TOKEN_ISSUED,
        request_id="req_00000000000000000000000v",
        client=client,
        delegations=tuple(Named(id=DELEGATIONS[n], name='A "b"') for n in sorted(each.under)),
        roles=tuple(Named(id=ROLES[0], name="Support") for _ in each.under),  # one role behind both
        decision=Decision.GRANTED,
        authority_version=0,
        jti="1" * 32,
        expires_at=each.at + HOUR,
        detail={"actions": sorted(each.actions), "proof_id": each.proof},
    )


def refused(each: Happening, client: Named | None) -> Event:
    return Event(
        at=each.at,
        kind=EventKind.TOKEN_REFUSED,
        request_id="req_00000000000000000000000v",
        client=client,
        decision=Decision.DENIED,
        reason=each.reason,
        detail={"actions": ["customers:delete"], "details": "…"},
    )


def empty(database: Database) -> None:
    def work(tx: Tx) -> None:
        for table in ("events", "hourly_counts", "client_counts", "daily_uses", "last_uses"):
            tx.connection.execute(text(f"DELETE FROM {table}"))
        tx.connection.execute(text("UPDATE counted SET through = 0, top = 0, top_at = NULL, rebuilds = 0"))

    database.append(work)


def expected_series(history: Sequence[Happening], step: timedelta, client: str | None) -> list[Point]:
    points = []
    at = START
    while at < NOW:
        inside = [e for e in history if at <= e.at < at + step and client in {None, e.client}]
        issued, refused = (sum(e.times for e in inside if e.issued is kind) for kind in (True, False))
        points.append(Point(at=at, issued=issued, refused=refused))
        at += step
    return points


def expected_last(history: Sequence[Happening]) -> dict[str, LastUse]:
    found: dict[str, LastUse] = {}
    for subject in (*CLIENTS, *DELEGATIONS, *ROLES, *PROOFS):
        granted = [e.at for e in history if e.issued and subject in subjects(e)]
        denied = [(e.at, e.reason) for e in history if not e.issued and e.client == subject]
        if granted or denied:
            refused_at, reason = max(denied, default=(None, ""))
            found[subject] = LastUse(
                granted_at=max(granted, default=None), refused_at=refused_at, refused_reason=reason
            )
    return found


def to_the_second(use: LastUse) -> LastUse:
    """The same, but for the microseconds by which a refusal is told from one of its minute that is counted already."""
    return replace(use, refused_at=use.refused_at and use.refused_at.replace(microsecond=0))


def subjects(each: Happening) -> set[str]:
    return {str(each.client), each.proof, ROLES[0], *(DELEGATIONS[n] for n in each.under)}


def expected_uses(history: Sequence[Happening], subject: str, since: datetime) -> dict[str, int]:
    since = day_of(since)
    used = Counter(a for e in history if e.issued and e.at >= since and subject in subjects(e) for a in e.actions)
    return dict(used)


def assert_numbers(database: Database, history: Sequence[Happening]) -> None:
    """Every verb, against the history itself."""
    denied = [e for e in history if not e.issued]

    def check(tx: Tx) -> None:
        for client in (None, *CLIENTS):
            for step in (HOUR, 5 * HOUR, DAY):
                assert counts.series(tx, START, NOW, step, client_id=client) == expected_series(history, step, client)
            mine = [e for e in denied if client in {None, e.client}]
            reasons = Counter[str]()
            for each in mine:
                reasons[each.reason] += each.times
            assert counts.refusals_by_reason(tx, START, NOW, client_id=client) == reasons
            assert counts.totals(tx, START, NOW, client_id=client) == Totals(
                issued=sum(e.issued for e in history if client in {None, e.client}), refused=reasons.total()
            )
        everybody = (*CLIENTS, *DELEGATIONS, *ROLES, *PROOFS)
        last = counts.last_uses(tx, everybody)
        assert {subject: to_the_second(use) for subject, use in last.items()} == expected_last(history)
        for subject in (*CLIENTS, *DELEGATIONS, *ROLES):
            for since in (START, START + DAY):
                assert counts.actions_used(tx, [subject], since) == expected_uses(history, subject, since)
        since = START + 30 * HOUR
        often = Counter[tuple[str | None, str]]()
        for each in denied:
            if each.at >= since:
                often[each.client, each.reason] += each.times
        assert {(r.client_id, r.reason): r.count for r in counts.repeated_refusals(tx, since, 5)} == {
            key: count for key, count in often.items() if count >= 5
        }

    database.read(check)


@pytest.mark.soak
@pytest.mark.sqlite_suffices
@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_history_rolled_up_at_any_times_gives_the_numbers_of_the_audit_log(
    database: Database, data: st.DataObject
) -> None:
    empty(database)
    history = sorted(data.draw(st.lists(happenings, max_size=25)), key=lambda each: each.at)
    times = sorted(data.draw(st.lists(st.integers(0, 3 * 86_400 + 600), max_size=4)))
    written = 0
    for seconds in times:
        now = START + timedelta(seconds=seconds)
        by_then = [each for each in history if each.at <= now]
        write(database, by_then[written:])
        written = len(by_then)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rollup, "BATCH", data.draw(st.integers(1, 6)))
            rollup.roll_up(database, now, batches=data.draw(st.integers(1, 3)))
        assert recounted(database) == []
    write(database, history[written:])
    assert_numbers(database, history)


@pytest.mark.soak
@pytest.mark.sqlite_suffices
@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_the_clocks_say_each_event_is_counted_once(database: Database, data: st.DataObject) -> None:
    """Servers date events, and roll up, by clocks that are hours off in either direction."""
    empty(database)
    history: list[Happening] = []
    for _ in range(data.draw(st.integers(1, 6))):
        some = data.draw(st.lists(happenings.map(with_one_reason), max_size=4))
        write(database, some)
        history += some
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rollup, "BATCH", data.draw(st.integers(1, 6)))
            now = START + timedelta(seconds=data.draw(st.integers(0, 3 * 86_400)))
            rollup.roll_up(database, now, batches=data.draw(st.integers(1, 3)))
        assert recounted(database) == []
    assert_numbers(database, history)
    last = START + timedelta(seconds=data.draw(st.integers(0, 3 * 86_400)))
    for minutes in (0, 5, 10):
        rollup.roll_up(database, last + timedelta(minutes=minutes))
    assert waiting(database) == 0
    assert recounted(database) == []
    assert_numbers(database, history)


def with_one_reason(each: Happening) -> Happening:
    """Of two reasons in one minute, the later row has the later one: no history says which that is."""
    return replace(each, reason=REASONS[0])


def recounted(database: Database) -> list[str]:
    """Where the kept counts differ from what the events say."""

    def work(tx: Tx) -> list[str]:
        with CountCheck(Scan(tx.connection), now=NOW + HOUR) as check:
            for number, outcome in decided(tx.connection):
                check.add_number(number)
                check.add(number, outcome)
            return check.findings()

    return database.read(work)


@pytest.mark.sqlite_suffices  # test_counts_that_lie.py changes rows of PostgreSQL
@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_change_of_a_kept_row_is_found_by_counting_again(database: Database, data: st.DataObject) -> None:
    empty(database)
    write(database, [replace(A_TOKEN, seconds=7), *data.draw(st.lists(happenings, max_size=10))])
    rollup.roll_up(database, NOW)
    table = data.draw(st.sampled_from(TABLES))
    rows = database.read(lambda tx: sorted(stored_rows(tx.connection, table), key=lambda row: str(row.values)))
    row = data.draw(st.sampled_from(rows))
    where = "ctid = CAST(:handle AS tid)" if database.dialect == "postgresql" else "rowid = :handle"
    column = data.draw(st.sampled_from((*table.columns, "")))
    act = f"UPDATE {table.name} SET {column} = {changed(column, data)}" if column else f"DELETE FROM {table.name}"

    def spoil(tx: Tx) -> bool:
        handle = {"handle": row.handle}
        with suppress(IntegrityError), tx.connection.begin_nested():  # there is a row with such a key
            tx.connection.execute(text(f"{act} WHERE {where}"), handle)
        return sorted(str(each.values) for each in stored_rows(tx.connection, table)) != [str(e.values) for e in rows]

    assert database.append(spoil) == bool(recounted(database)), act


def changed(column: str, data: st.DataObject) -> str:
    """Another value for the column, as SQL; perhaps the one that it has."""
    if column in {"occurrences", "tokens"}:
        return str(data.draw(st.integers(-1, 6)))
    if column in {"hour", "day", "month", "granted_at", "refused_at"}:
        hours = data.draw(st.integers(0, 3 * 24))
        return f"'{(START + hours * HOUR).strftime('%Y-%m-%d %H:%M:%S.%f')}'"
    return repr(data.draw(st.sampled_from((*CLIENTS, *REASONS, *ACTIONS, "", "token.issued", "token.refused"))))


A_TOKEN = Happening(
    seconds=0,
    issued=True,
    client="client-a",
    under=frozenset({0}),
    actions=frozenset({"customers:read"}),
    proof="proof-1",
    reason="",
    times=1,
)


@pytest.mark.sqlite_suffices
def test_a_long_outage_is_caught_up_in_batches(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    history = [replace(A_TOKEN, seconds=60 * minute) for minute in range(40)]
    write(database, history)
    monkeypatch.setattr(rollup, "BATCH", 5)
    rounds = 0
    while not rollup.roll_up(database, NOW, batches=2):
        rounds += 1
        assert_numbers(database, history)
    assert rounds > 2
    assert_numbers(database, history)


def test_only_minutes_that_have_settled_are_rolled_up(database: Database) -> None:
    """What is dated but not committed yet, and counted rows that still grow, must not be passed over."""
    early = replace(A_TOKEN, issued=False, reason=REASONS[0], times=5)
    write(database, [early])
    rollup.roll_up(database, START + timedelta(seconds=119))
    write(database, [early])  # the same row of the audit log grows
    rollup.roll_up(database, START + timedelta(minutes=3))
    write(database, [replace(A_TOKEN, seconds=60)])
    assert_numbers(database, [early, early, replace(A_TOKEN, seconds=60)])
    assert waiting(database) == 1


def waiting(database: Database) -> int:
    """How many events are not counted yet."""

    def work(tx: Tx) -> int:
        late = rollup.is_not_counted(rollup.progress_of(tx.connection))
        return tx.connection.execute(select(func.count()).select_from(events).where(late)).scalar_one()

    return database.read(work)


def test_a_refusal_that_is_counted_early_is_followed_by_another_row(database: Database) -> None:
    """The server that counts has a clock that is ahead, so it takes the minute for over."""
    refusal = replace(A_TOKEN, issued=False, reason=REASONS[0], times=5)
    write(database, [refusal])
    highest = rollup.highest_number(database)
    assert highest is not None
    batch = database.read(lambda tx: rollup.next_batch(tx.connection, highest))
    assert batch is not None
    write(database, [refusal])
    assert database.append(lambda tx: rollup.keep(tx, batch)) is False, "the row has grown since"
    rollup.roll_up(database, NOW)
    write(database, [refusal, refusal])
    assert waiting(database) == 1
    assert recounted(database) == []
    assert_numbers(database, [refusal] * 4)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_nothing_is_counted_while_a_lower_number_can_still_be_committed(database: Database) -> None:
    def work(tx: Tx) -> bool:
        audit.record(tx, issued(A_TOKEN, Named(id="client-a", name="Agent")))
        write(database, [A_TOKEN])  # takes a higher number, and is committed first
        return rollup.roll_up(database, NOW)

    assert database.append(work) is False
    assert waiting(database) == 2
    assert rollup.roll_up(database, NOW)
    assert waiting(database) == 0
    assert_numbers(database, [A_TOKEN, A_TOKEN])


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_nothing_is_counted_while_an_event_with_a_lower_number_can_still_be_inserted(database: Database) -> None:
    def work(tx: Tx) -> bool:
        next_numbers(tx.connection, 1, NOW)
        write(database, [A_TOKEN])
        return rollup.roll_up(database, NOW)

    assert database.append(work) is False
    assert waiting(database) == 1


def test_of_two_that_roll_up_the_same_only_one_counts(database: Database) -> None:
    history = [replace(A_TOKEN, seconds=60 * minute) for minute in range(10)]
    write(database, history)
    highest = rollup.highest_number(database)
    assert highest is not None
    first, second = (database.read(lambda tx: rollup.next_batch(tx.connection, highest)) for _ in range(2))
    assert first is not None
    assert second is not None
    assert database.append(lambda tx: rollup.keep(tx, first)) is True
    assert database.append(lambda tx: rollup.keep(tx, second)) is False
    assert_numbers(database, history)


@pytest.mark.soak
def test_many_roll_up_at_once_and_nothing_counts_twice(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    history = [replace(A_TOKEN, seconds=30 * half) for half in range(120)]
    write(database, history)
    monkeypatch.setattr(rollup, "BATCH", 7)
    threads = [threading.Thread(target=rollup.roll_up, args=(database, NOW)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rollup.roll_up(database, NOW)
    assert_numbers(database, history)


def test_an_idle_server_writes_nothing(database: Database) -> None:
    write(database, [A_TOKEN])
    rollup.roll_up(database, NOW)
    rolled = row(database)
    rollup.roll_up(database, NOW + 5 * HOUR)
    assert row(database) == rolled


def row(database: Database) -> list[object]:
    return database.read(lambda tx: list(tx.connection.execute(text("SELECT * FROM counted")).one()))


def test_who_was_never_used_is_left_out(database: Database) -> None:
    write(database, [A_TOKEN, replace(A_TOKEN, issued=False, client="client-b", reason=REASONS[0])])
    at = START
    for _ in range(2):
        assert database.read(lambda tx: counts.last_tokens(tx, ["client-a", "client-b", "nobody"])) == {"client-a": at}
        assert database.read(lambda tx: counts.proof_last_uses(tx, ["proof-1", "proof-2"])) == {"proof-1": at}
        assert database.read(lambda tx: counts.last_tokens(tx, [])) == {}
        assert database.read(lambda tx: counts.actions_used(tx, [], START)) == {}
        rollup.roll_up(database, NOW)


def test_refusals_of_unknown_clients_stand_in_the_overall_numbers(database: Database, act: Act) -> None:
    stranger = replace(A_TOKEN, issued=False, client=None, reason="client_not_found", times=5)
    write(database, [stranger])
    for _ in range(2):
        assert database.read(lambda tx: counts.totals(tx, START, NOW)) == Totals(issued=0, refused=5)
        assert database.read(lambda tx: counts.repeated_refusals(tx, START, 1)) == []
        rollup.roll_up(database, NOW)


def test_repeated_refusals_come_with_the_most_frequent_first(database: Database) -> None:
    refusal = replace(A_TOKEN, issued=False, reason=REASONS[0])
    write(database, [refusal] * 3 + [replace(refusal, client="client-b")] * 4 + [replace(refusal, reason=REASONS[1])])
    found = [
        RepeatedRefusal(client_id="client-b", reason=REASONS[0], count=4),
        RepeatedRefusal(client_id="client-a", reason=REASONS[0], count=3),
    ]
    assert database.read(lambda tx: counts.repeated_refusals(tx, START, 2)) == found
    assert database.read(lambda tx: counts.repeated_refusals(tx, START, 2, limit=1)) == found[:1]


def test_a_series_is_of_whole_hours(database: Database) -> None:
    points = database.read(lambda tx: counts.series(tx, NOW + HOUR / 2, NOW + 5 * HOUR / 2, HOUR))
    assert [point.at for point in points] == [NOW, NOW + HOUR, NOW + 2 * HOUR]
    for step in (timedelta(minutes=30), timedelta(minutes=90), timedelta(0)):
        with pytest.raises(ValueError, match="whole number of hours"):
            database.read(lambda tx, step=step: counts.series(tx, NOW, NOW + HOUR, step))


def test_numbers_are_reckoned_on_one_snapshot(database: Database) -> None:
    with pytest.raises(RuntimeError, match="snapshot"):
        database.append(lambda tx: counts.totals(tx, START, NOW))


def test_hours_are_of_the_event_not_of_the_roll_up(database: Database) -> None:
    write(database, [replace(A_TOKEN, seconds=3599.999), replace(A_TOKEN, seconds=3600)])
    for _ in range(2):
        points = database.read(lambda tx: counts.series(tx, START, START + 2 * HOUR, HOUR))
        assert [(point.at, point.issued) for point in points] == [(hour_of(START), 1), (START + HOUR, 1)]
        rollup.roll_up(database, NOW)
