"""Keys that were fetched, as the database keeps them, on both kinds of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from authsec_server.db import Database, Tx
from authsec_server.sources.model import KeptKeys, ProposedSource, TrustSource
from authsec_server.sources.store import keys, sources
from authsec_server.sources.validation import checked

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ID = "0b5c1f8e-6f1b-4c43-9a52-3f1c3f3f0a11"


@pytest.fixture
def source(database: Database) -> TrustSource:
    asked = ProposedSource(
        name="CI", kind="oidc", issuer="https://ci.example.com", keys_from="discovery", preset="gitlab"
    )
    made = checked(asked, id=ID, now=NOW)
    database.append(lambda tx: sources.add(tx.connection, made))
    return made


def kept(database: Database, source: TrustSource) -> KeptKeys | None:
    return database.read(lambda tx: keys.find(tx.connection, source))


def keep(database: Database, source: TrustSource, name: str, minutes: int = 0) -> None:
    what = {"jwks": {"keys": [name]}, "fetched_at": NOW + timedelta(minutes=minutes), "refresh_seconds": 60}
    database.append(lambda tx: keys.keep(tx.connection, source, **what))


def fail(database: Database, source: TrustSource, why: str = "away") -> None:
    database.append(lambda tx: keys.keep_failure(tx.connection, source, failed_at=NOW, failure=why))


def raise_revision(database: Database, source: TrustSource, also: Callable[[Tx, TrustSource], None]) -> TrustSource:
    later = replace(source, revision=source.revision + 1)

    def change(tx: Tx) -> None:
        sources.save(tx.connection, later)
        also(tx, later)

    database.append(change)
    return later


def nothing(tx: Tx, source: TrustSource) -> None:
    pass


def test_a_source_is_read_as_it_was_written(database: Database, source: TrustSource) -> None:
    assert database.read(lambda tx: sources.find(tx.connection, "ci")) == source
    assert database.read(lambda tx: sources.by_ids(tx.connection, [ID, "other"])) == {ID: source}


def test_the_last_set_is_kept_and_an_older_one_does_not_replace_it(database: Database, source: TrustSource) -> None:
    assert kept(database, source) is None
    keep(database, source, "two", minutes=2)
    keep(database, source, "one", minutes=1)
    found = kept(database, source)
    assert found == KeptKeys(jwks={"keys": ["two"]}, fetched_at=NOW + timedelta(minutes=2), refresh_seconds=60)


def test_a_failure_leaves_the_set_as_it_is_and_a_success_forgets_it(database: Database, source: TrustSource) -> None:
    fail(database, source)
    assert kept(database, source) == KeptKeys(failed_at=NOW, failure="away")
    keep(database, source, "one")
    fail(database, source, "away again")
    assert kept(database, source) == KeptKeys(
        jwks={"keys": ["one"]}, fetched_at=NOW, refresh_seconds=60, failed_at=NOW, failure="away again"
    )
    keep(database, source, "two", minutes=1)
    found = kept(database, source)
    assert found is not None
    assert (found.failed_at, found.failure) == (None, "")


def test_a_set_counts_for_its_revision_only(database: Database, source: TrustSource) -> None:
    keep(database, source, "old")
    later = raise_revision(database, source, nothing)
    assert kept(database, later) is None
    keep(database, source, "from the old address, late", minutes=9)
    fail(database, source)
    assert kept(database, later) is None
    fail(database, later)
    assert kept(database, later) == KeptKeys(failed_at=NOW, failure="away")
    keep(database, later, "new")
    assert kept(database, later) == KeptKeys(jwks={"keys": ["new"]}, fetched_at=NOW, refresh_seconds=60)


def test_a_new_revisions_set_takes_the_place_of_the_old_ones(database: Database, source: TrustSource) -> None:
    keep(database, source, "old", minutes=9)
    later = raise_revision(database, source, nothing)
    keep(database, later, "new")
    assert kept(database, later) == KeptKeys(jwks={"keys": ["new"]}, fetched_at=NOW, refresh_seconds=60)


def test_it_is_carried_over_where_the_keys_stay(database: Database, source: TrustSource) -> None:
    keep(database, source, "one")
    before = kept(database, source)
    later = raise_revision(database, source, lambda tx, later: keys.carry_over(tx.connection, later))
    assert kept(database, later) == before
    assert kept(database, source) is None


def test_keys_go_with_their_source_and_do_not_come_back(database: Database, source: TrustSource) -> None:
    keep(database, source, "one")
    database.append(lambda tx: sources.remove(tx.connection, source.id))
    assert kept(database, source) is None
    keep(database, source, "late")
    fail(database, source)
    assert kept(database, source) is None
