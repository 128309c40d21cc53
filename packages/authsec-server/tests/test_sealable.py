"""Events whose rows are read as they are stored get the leaf hash that every other reader computes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from authsec_server.audit.merkle_tree import event_hash
from authsec_server.audit.model import Decision, Event, EventKind, Named
from authsec_server.audit.sealing import sealable
from authsec_server.audit.sealing.sealable import sealable_events, usual_events
from authsec_server.audit.store import add, events
from authsec_server.db import Database, Tx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from long_runs import some_of
from sqlalchemy import select

from examples import examples

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=36)
ID = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=36)
NAMED = st.builds(Named, id=ID, name=TEXT)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
EVENT = st.builds(
    Event,
    at=st.timedeltas(timedelta(0), timedelta(days=4)).map(lambda since: NOW + since),
    kind=st.sampled_from([EventKind.TOKEN_ISSUED, EventKind.TOKEN_REFUSED, EventKind.CLIENT_CREATED]),
    request_id=st.sampled_from(["", f"req_{1:024}"]) | TEXT,
    client=st.none() | NAMED,
    delegations=st.lists(NAMED, max_size=2).map(tuple),
    roles=st.lists(NAMED, max_size=2).map(tuple),
    subject=st.none() | NAMED,
    decision=st.none() | st.sampled_from(Decision),
    reason=TEXT,
    address=TEXT,
    authority_version=st.integers(0, 2**53 - 1),
    jti=st.sampled_from(["", "1" * 32]) | TEXT,
    kid=ID,
    token_sha256=TEXT,
    expires_at=st.none() | st.just(NOW + timedelta(hours=1, microseconds=1)),
    detail=st.dictionaries(TEXT, JSON, max_size=3),
)


def recorded(database: Database, *batch: Event) -> list[int]:
    return database.append(lambda tx: [add(tx.connection, event, tx.event_key) for event in batch])


def usual(database: Database, numbers: list[int]) -> Any:
    return database.read(lambda tx: usual_events(tx.connection, numbers, tx.event_key))


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(EVENT, min_size=1, max_size=4))
def test_the_hash_of_stored_text_is_that_of_the_values(database: Database, batch: list[Event]) -> None:
    numbers = recorded(database, *batch)

    def both(tx: Tx) -> tuple[Any, Any, list[bytes]]:
        rows = tx.connection.execute(select(events).where(events.c.id.in_(numbers)).order_by(events.c.id)).all()
        slowly = sealable_events(tx.connection, numbers, NOW, tx.event_key)
        return usual_events(tx.connection, numbers, tx.event_key), slowly, [event_hash(row._asdict()) for row in rows]

    at_once, slowly, hashes = database.read(both)
    if at_once is None:
        assert len(slowly) < len(batch), "some event is not as a server writes it"
    else:
        assert at_once == slowly
        assert [each.hash for each in at_once] == hashes


def event(**changed: Any) -> Event:
    return Event(
        **{"at": NOW, "kind": EventKind.TOKEN_ISSUED, "request_id": f"req_{1:024}", "authority_version": 7} | changed
    )


@pytest.mark.parametrize(
    "change",
    some_of(
        [
            "detail = '{ }'",
            """detail = '{"a":1,"a":1}'""",
            "roles = '[1]'",
            "occurrences = 0",
            "kind = 'no.kind'",
            "client_id = 'x'",
            "authority_version = -1",
            "authority_version = NULL",
            "principal_kind = 'no kind'",
            "count_key = 'counted'",
        ]
    ),
)
def test_a_row_that_no_server_writes_is_not_usual_and_gets_no_seal(database: Database, change: str) -> None:
    first, second = recorded(database, event(), event())
    database.append(lambda tx: tx.connection.exec_driver_sql(f"UPDATE events SET {change} WHERE id = {second}"))
    assert usual(database, [first, second]) is None
    assert [each.number for each in usual(database, [first])] == [first]
    one_by_one = database.read(lambda tx: sealable_events(tx.connection, [first, second], NOW, tx.event_key))
    assert [each.number for each in one_by_one] == [first]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("change", ["at = '2026-11-25T12:00:00'", "at = x'00'", "jti = CAST(x'ff' AS TEXT)"])
def test_a_value_that_only_sqlite_takes_is_not_usual(database: Database, change: str) -> None:
    (number,) = recorded(database, event())
    database.append(lambda tx: tx.connection.exec_driver_sql(f"UPDATE events SET {change}"))
    assert usual(database, [number]) is None


def test_a_missing_number_and_a_long_row_are_not_usual(database: Database) -> None:
    first, second = recorded(database, event(), event(detail={"long": "x" * sealable.LONGEST_USUAL}))
    assert usual(database, [first, second]) is None
    assert usual(database, [first, second + 1]) is None
    assert usual(database, []) == []


def test_events_far_apart_are_not_looked_through(database: Database) -> None:
    """The attack: one refusal a minute, which is sealed late, leads the sealer through all events since."""
    numbers = recorded(database, *(event() for _ in range(sealable.WIDEST * 2 + 2)))
    assert usual(database, [numbers[0], numbers[-1]]) is None
    assert usual(database, numbers[:2]) is not None


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("kind", ["text", "timestamp"])
def test_a_column_that_got_another_type_is_not_usual(database: Database, kind: str) -> None:
    numbers = recorded(database, event(expires_at=NOW))
    change = f"ALTER TABLE events ALTER expires_at TYPE {kind} USING '2026-11-25 13:00:00.000000'"
    database.append(lambda tx: tx.connection.exec_driver_sql(change))
    assert usual(database, numbers) is None


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_counted_refusal_is_judged_by_its_minute_in_utc(database: Database) -> None:
    """In Monrovia, a minute of 1960 begins 30 seconds before one of UTC."""
    counted = "kind = 'token.refused', decision = 'denied', count_key = 'x', authority_version = NULL"
    for second, is_usual in ((0, True), (30, False)):
        (number,) = recorded(database, event(at=datetime(1960, 1, 1, 0, 0, second, tzinfo=UTC)))
        database.append(
            lambda tx, number=number: tx.connection.exec_driver_sql(f"UPDATE events SET {counted} WHERE id = {number}")
        )

        def in_monrovia(tx: Tx, number: int = number) -> Any:
            tx.connection.exec_driver_sql("SET LOCAL timezone = 'Africa/Monrovia'")
            return usual_events(tx.connection, [number], tx.event_key)

        assert (database.read(in_monrovia) is not None) is is_usual
