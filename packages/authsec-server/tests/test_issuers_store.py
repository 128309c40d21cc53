"""Keys that were fetched, as the database keeps them, on both kinds of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from authsec_server.db import Database, Tx
from authsec_server.issuers import service, store
from authsec_server.issuers.model import KeptKeys, ProposedTrustedIssuer, TrustedIssuer
from authsec_server.issuers.validation import checked
from sqlalchemy import update

pytestmark = pytest.mark.sqlite_suffices

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ID = "0b5c1f8e-6f1b-4c43-9a52-3f1c3f3f0a11"


@pytest.fixture
def trusted_issuer(database: Database) -> TrustedIssuer:
    asked = ProposedTrustedIssuer(
        name="CI", kind="oidc", issuer="https://ci.example.com", keys_from="discovery", preset="gitlab"
    )
    made = checked(asked, id=ID, now=NOW)
    database.append(lambda tx: store.add(tx.connection, made))
    return made


def kept(database: Database, trusted_issuer: TrustedIssuer) -> KeptKeys | None:
    return database.read(lambda tx: store.find_keys(tx.connection, trusted_issuer))


def keep(database: Database, trusted_issuer: TrustedIssuer, name: str, minutes: int = 0) -> None:
    what = {"jwks": {"keys": [name]}, "fetched_at": NOW + timedelta(minutes=minutes), "refresh_seconds": 60}
    database.append(lambda tx: store.keep_keys(tx.connection, trusted_issuer, **what))


def fail(database: Database, trusted_issuer: TrustedIssuer, why: str = "away") -> None:
    database.append(lambda tx: store.keep_key_failure(tx.connection, trusted_issuer, failed_at=NOW, failure=why))


def raise_revision(
    database: Database, trusted_issuer: TrustedIssuer, also: Callable[[Tx, TrustedIssuer], None]
) -> TrustedIssuer:
    later = replace(trusted_issuer, revision=trusted_issuer.revision + 1)

    def change(tx: Tx) -> None:
        store.save(tx.connection, later)
        also(tx, later)

    database.append(change)
    return later


def nothing(tx: Tx, trusted_issuer: TrustedIssuer) -> None:
    pass


def test_a_trusted_issuer_is_read_as_it_was_written(database: Database, trusted_issuer: TrustedIssuer) -> None:
    assert database.read(lambda tx: service.find(tx, "ci")) == trusted_issuer
    assert database.read(lambda tx: store.by_ids(tx.connection, [ID, "other"])) == {ID: trusted_issuer}


def test_a_term_that_an_older_row_lacks_has_its_default(database: Database, trusted_issuer: TrustedIssuer) -> None:
    older = {"keys_from": "discovery", "claims": dict(trusted_issuer.claims)}
    database.append(lambda tx: tx.connection.execute(update(store.trusted_issuers).values(configuration=older)))
    assert database.read(lambda tx: service.find(tx, "ci")) == trusted_issuer


def test_the_last_set_is_kept_and_an_older_one_does_not_replace_it(
    database: Database, trusted_issuer: TrustedIssuer
) -> None:
    assert kept(database, trusted_issuer) is None
    keep(database, trusted_issuer, "two", minutes=2)
    keep(database, trusted_issuer, "one", minutes=1)
    found = kept(database, trusted_issuer)
    assert found == KeptKeys(jwks={"keys": ["two"]}, fetched_at=NOW + timedelta(minutes=2), refresh_seconds=60)


def test_a_failure_leaves_the_set_as_it_is_and_a_success_forgets_it(
    database: Database, trusted_issuer: TrustedIssuer
) -> None:
    fail(database, trusted_issuer)
    assert kept(database, trusted_issuer) == KeptKeys(failed_at=NOW, failure="away")
    keep(database, trusted_issuer, "one")
    fail(database, trusted_issuer, "away again")
    assert kept(database, trusted_issuer) == KeptKeys(
        jwks={"keys": ["one"]}, fetched_at=NOW, refresh_seconds=60, failed_at=NOW, failure="away again"
    )
    keep(database, trusted_issuer, "two", minutes=1)
    found = kept(database, trusted_issuer)
    assert found is not None
    assert (found.failed_at, found.failure) == (None, "")


def test_a_set_counts_for_its_revision_only(database: Database, trusted_issuer: TrustedIssuer) -> None:
    keep(database, trusted_issuer, "old")
    later = raise_revision(database, trusted_issuer, nothing)
    assert kept(database, later) is None
    keep(database, trusted_issuer, "from the old address, late", minutes=9)
    fail(database, trusted_issuer)
    assert kept(database, later) is None
    fail(database, later)
    assert kept(database, later) == KeptKeys(failed_at=NOW, failure="away")
    keep(database, later, "new")
    assert kept(database, later) == KeptKeys(jwks={"keys": ["new"]}, fetched_at=NOW, refresh_seconds=60)


def test_a_new_revisions_set_takes_the_place_of_the_old_ones(database: Database, trusted_issuer: TrustedIssuer) -> None:
    keep(database, trusted_issuer, "old", minutes=9)
    later = raise_revision(database, trusted_issuer, nothing)
    keep(database, later, "new")
    assert kept(database, later) == KeptKeys(jwks={"keys": ["new"]}, fetched_at=NOW, refresh_seconds=60)


def test_it_is_carried_over_where_the_keys_stay(database: Database, trusted_issuer: TrustedIssuer) -> None:
    keep(database, trusted_issuer, "one")
    before = kept(database, trusted_issuer)
    later = raise_revision(database, trusted_issuer, lambda tx, later: store.carry_keys_over(tx.connection, later))
    assert kept(database, later) == before
    assert kept(database, trusted_issuer) is None


def test_keys_go_with_their_trusted_issuer_and_do_not_come_back(
    database: Database, trusted_issuer: TrustedIssuer
) -> None:
    keep(database, trusted_issuer, "one")
    database.append(lambda tx: store.remove(tx.connection, trusted_issuer.id))
    assert kept(database, trusted_issuer) is None
    keep(database, trusted_issuer, "late")
    fail(database, trusted_issuer)
    assert kept(database, trusted_issuer) is None
