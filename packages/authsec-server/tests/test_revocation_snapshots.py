"""Snapshots of the feed: of each subject only what covers the rest, and after them nothing is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from authsec_server.db import Database
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import FeedPage, SubjectKind
from authsec_server.revocations.store import revocations as table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert

from examples import examples

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
Subject = tuple[SubjectKind, str]
SUBJECTS = st.tuples(st.sampled_from([SubjectKind.CLIENT, SubjectKind.DELEGATION]), st.sampled_from("abcd"))


def fill(database: Database, subjects: list[Subject], first: int = 1) -> None:
    """A feed of these alone, numbered from `first` on; the version of each is ten times its number."""
    rows = [
        {"sequence": number, "subject_kind": kind, "subject_id": id_, "version": 10 * number, "at": NOW}
        for number, (kind, id_) in enumerate(subjects, first)
    ]
    database.append(lambda tx: tx.connection.execute(delete(table)))
    database.append(lambda tx: rows and tx.connection.execute(insert(table), rows))


def read(database: Database, since: int, limit: int = 500) -> FeedPage:
    return database.read(lambda tx: revocations.page(tx, since, limit))


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    subjects=st.lists(SUBJECTS, max_size=14),
    first=st.integers(1, 5),
    since=st.integers(0, 20),
    limit=st.integers(1, 5),
    at_most=st.integers(1, 6),
    spared_from=st.integers(0, 8),
)
def test_whoever_reads_on_knows_the_last_ending_of_everything(
    database: Database, subjects: list[Subject], first: int, since: int, limit: int, at_most: int, spared_from: int
) -> None:
    """However small pages and snapshots are, and wherever one begins; gaps are in snapshots only."""
    fill(database, subjects, first)
    last = first + len(subjects) - 1 if subjects else 0
    before = {subject: 10 * n for n, subject in enumerate(subjects, first) if n <= since}
    known = before if first <= since <= last else {}  # others read another database, or so long ago that all is told
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(revocations, "SNAPSHOT_AT_MOST", at_most)
        patch.setattr(revocations, "SNAPSHOT_FROM", spared_from)
        for _ in range(40):
            page = read(database, since, limit)
            numbers = [entry.sequence for entry in page.entries]
            assert page.snapshot or numbers == list(range(since + 1, page.through + 1))
            assert (page.follows.sequence if page.follows else 0) == (0 if page.snapshot else since)
            assert page.through == (numbers[-1] if numbers else 0 if page.snapshot else since)
            assert numbers == sorted(set(numbers))
            known |= {(entry.subject_kind, entry.subject_id): entry.version for entry in page.entries}
            since = page.through
            if page.through == page.last:
                break
    assert page.through == page.last == last
    assert known == {subject: 10 * n for n, subject in enumerate(subjects, first)}


def test_a_long_feed_about_few_is_short_for_whoever_begins(database: Database) -> None:
    fill(database, [(SubjectKind.DELEGATION, f"subject {number % 40}") for number in range(3000)])
    page = read(database, 0)
    assert (page.snapshot, page.since, page.through, page.last) == (True, 0, 3000, 3000)
    assert [entry.sequence for entry in page.entries] == list(range(2961, 3001))
    on = read(database, 1)
    assert (on.snapshot, on.through, len(on.entries)) == (False, 501, 500)
    database.append(lambda tx: revocations.forget(tx, NOW + timedelta(days=9)))
    assert [entry.sequence for entry in read(database, 0).entries] == [3000]
