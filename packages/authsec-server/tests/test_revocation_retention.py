"""What of the feed is kept, and for how long: never with a gap, whatever the clocks of its servers said."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from authsec_server.clients import service as clients
from authsec_server.db import Database
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from authsec_server.revocations.store import revocations as table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sealed_estate import sealed_estate
from sqlalchemy import delete, insert

from examples import examples

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ENTRIES = st.tuples(
    st.sampled_from([SubjectKind.TOKEN, SubjectKind.KEY]),
    st.sampled_from("abc"),
    st.sampled_from([-9, -8.05, -8, -7, -1, 0, 2]),  # days from now at which its server believed to be
)


def fill(database: Database, entries: list[tuple[SubjectKind, str, float]], first: int = 1) -> None:
    """A feed of these alone."""
    rows = [
        {
            "sequence": number,
            "subject_kind": kind,
            "subject_id": id_,
            "version": number,
            "at": NOW + timedelta(days=days),
        }
        for number, (kind, id_, days) in enumerate(entries, first)
    ]
    database.append(lambda tx: tx.connection.execute(delete(table)))
    database.append(lambda tx: rows and tx.connection.execute(insert(table), rows))


def kept(database: Database) -> list[tuple[int, SubjectKind, str]]:
    found = database.read(lambda tx: revocations.since(tx, 0))
    return [(each.sequence, each.subject_kind, each.subject_id) for each in found]


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=st.lists(ENTRIES, max_size=10), first=st.integers(1, 3))
def test_what_is_kept_has_no_gap_and_all_that_matters(
    database: Database, entries: list[tuple[SubjectKind, str, float]], first: int
) -> None:
    fill(database, entries, first)
    database.append(lambda tx: revocations.forget(tx, NOW))
    numbers = [number for number, _, _ in kept(database)]
    last = first + len(entries) - 1
    assert numbers == (list(range(numbers[0], last + 1)) if entries else [])
    matters = {
        number
        for number, (_, _, days) in enumerate(entries, first)
        if NOW + timedelta(days=days) >= NOW - revocations.MATTERS_FOR
    }
    assert matters <= set(numbers)
    keys = {id_ for kind, id_, _ in entries if kind is SubjectKind.KEY}
    assert {id_ for _, kind, id_ in kept(database) if kind is SubjectKind.KEY} >= keys


def test_a_key_that_was_revoked_is_told_for_ever_and_the_rest_is_forgotten(database: Database) -> None:
    key, token = (SubjectKind.KEY, "k" * 43, -9.0), (SubjectKind.TOKEN, "t", -9.0)
    fill(database, [key, *[token] * 5, (SubjectKind.TOKEN, "young", -1.0)])
    version = database.read(lambda tx: tx.version)
    database.append(lambda tx: revocations.forget(tx, NOW))
    assert len(kept(database)) == 7, "its entry keeps them"
    assert database.read(lambda tx: revocations.old_keys(tx, NOW)) == [key[1]]
    database.change(lambda tx: revocations.republish(tx, NOW))
    database.append(lambda tx: revocations.forget(tx, NOW))
    assert kept(database) == [(7, SubjectKind.TOKEN, "young"), (8, SubjectKind.KEY, key[1])]
    assert database.read(lambda tx: revocations.old_keys(tx, NOW)) == []
    (_, said_again) = database.read(lambda tx: revocations.since(tx, 0))
    assert said_again.version == version + 1


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("ahead", [timedelta(), timedelta(hours=3), timedelta(hours=23)])
def test_a_server_whose_clock_is_ahead_forgets_no_row_that_a_check_expects(estate: Any, ahead: timedelta) -> None:
    its = sealed_estate(estate)
    for day in (0, 6):
        estate.act = replace(estate.act, now=NOW + timedelta(days=day))
        estate.do(lambda tx, act: clients.revoke_tokens(tx, act, "helper"))
    its.seal()
    estate.act = replace(estate.act, now=NOW + timedelta(days=7) - timedelta(minutes=15))
    estate.database.append(lambda tx: revocations.forget(tx, estate.act.now + ahead))
    assert its.findings() == ()
