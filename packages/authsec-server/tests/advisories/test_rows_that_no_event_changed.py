"""Raw SQL changes a row by which events are found, named or counted: the owner of a delegation, the state of a key.

Each change of authority records the digests of the tables that it wrote to, in its event. So a changed row is found,
also after further changes of the same row, and after the events that made the row were dropped.
"""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from authsec_server.apis import credentials
from authsec_server.apis import service as apis
from authsec_server.apis.model import Action
from authsec_server.audit.model import DIGESTS, EventKind
from authsec_server.audit.sealing.scan import Scan
from authsec_server.audit.sealing.table_check import kept_digests
from authsec_server.audit.service import record_act
from authsec_server.clients import service
from authsec_server.db import Tx, metadata
from authsec_server.db.table_digests import DIGESTED, digest, product_of_rows, stored, write_products
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import ProposedTrustedIssuer, TrustedIssuerKind
from authsec_server.keys import service as keys
from authsec_server.keys.model import Algorithm, NewKey
from authsec_server.principal import Act
from databases import FilledOnce
from sealed_estate import Sealed, sealed_estate
from sqlalchemy import text

ONE = "(SELECT min({0}) FROM {1})"
CHANGED = {
    "clients": "owner = 'somebody'",
    "client_labels": "value = 'other'",
    "proofs": "id = '00000000-0000-4000-8000-000000000001'",
    "delegations": "client_id = (SELECT min(c.id) FROM clients c WHERE c.id != client_id)",
    "delegation_audiences": "audience = 'https://other.example'",
    "roles": "name = 'Other'",
    "role_actions": "action = action || '_all'",
    "apis": "identifier = 'https://other.example'",
    "api_actions": "description = 'Other'",
    "api_credentials": "revoked_at = '2020-01-01 00:00:00.000000+00'",
    "trusted_issuers": "name = 'Other'",
    "administrators": "name = 'Other'",
    "admin_keys": "id = (SELECT min(id) FROM administrators)",
    "signing_keys": "state = 'gone'",
}
"""A change of one row of each table."""
VOLATILE = {"authority", "events", "event_delegations", "sealed_events", "checkpoints", "counted", "number_ranges"} | {
    *("hourly_counts", "client_counts", "daily_uses", "last_uses", "revocations", "feed_followers", "used_assertions"),
    *("trusted_issuer_keys", "enrolments", "sessions", "setup_links", "feed_keys", "sealing_keys", "sealing_key_lists"),
    *("table_digests", "alembic_version", "retention_run"),
}
"""Tables that `verify` compares in another way, or that decide no answer about an event."""


def new_key(_algorithm: Algorithm) -> NewKey:
    return NewKey(kid=secrets.token_urlsafe(32), public_jwk={"kty": "RSA"}, sealed=b"sealed")


_with_a_row_in_each_table: FilledOnce[None] = FilledOnce()


@pytest.fixture
def sealed(estate: Any) -> Sealed:
    """An estate with a row in each table."""
    _with_a_row_in_each_table.fill(estate.database, lambda: fill(estate))
    return Sealed.of(estate)


def fill(estate: Any) -> None:
    its = sealed_estate(estate)
    its.estate.agent("Labelled", labels={"team": "a"})
    read = (Action(action="customers:read", description="Read a customer"),)
    its.estate.do(lambda tx, act: apis.create(tx, act, name="CRM", identifier="https://crm.example", actions=read))
    its.estate.delegate(client="labelled", slug="third", audiences=("https://crm.example",))
    its.estate.do(lambda tx, act: credentials.create(tx, act, "crm", name="one"))
    issuer = ProposedTrustedIssuer(
        name="CI",
        kind=TrustedIssuerKind.OIDC,
        issuer="https://ci.example",
        audience="us",
        keys_from="discovery",
        preset="gitlab",
    )
    its.estate.do(lambda tx, act: issuers.create(tx, act, issuer))
    its.estate.do(lambda tx, act: keys.ensure(tx, act, new_key))
    its.seal()
    assert its.findings() == ()


def test_every_table_has_a_digest_or_a_reason() -> None:
    assert set(metadata.tables) - VOLATILE == set(DIGESTED) == set(CHANGED)


@pytest.mark.sqlite_suffices
def test_a_changed_row_of_any_table_is_found(sealed: Sealed) -> None:
    missed = {}
    for table, digested in DIGESTED.items():
        key = digested.key[0]
        _, found = sealed.after(f"UPDATE {table} SET {CHANGED[table]} WHERE {key} = {ONE.format(key, table)}")
        if f"Rows of {table} were changed in the database after event" not in found:
            missed[table] = found
    assert missed == {}
    assert sealed.findings() == (), "each change was undone"


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("table", ["clients", "delegations", "admin_keys"])
def test_a_row_that_was_put_in_or_taken_out_is_found(sealed: Sealed, table: str) -> None:
    gone = f"FROM {table} WHERE id = {ONE.format('id', table)}"
    children = ["DELETE FROM delegations WHERE client_id = (SELECT min(id) FROM clients)"] if table == "clients" else []
    _, found = sealed.after(*children, f"DELETE {gone}")
    assert f"Rows of {table} were changed" in found


@pytest.mark.sqlite_suffices
def test_a_change_of_the_same_row_does_not_cover_it_up(sealed: Sealed) -> None:
    run(sealed, "UPDATE clients SET description = 'Planted' WHERE slug = 'helper'")
    edit = {"owner": "night shift"}
    sealed.estate.do(lambda tx, act: service.edit(tx, act, "helper", revision=1, changes=edit))
    sealed.seal()
    assert any(each.startswith("Rows of clients were changed in the database") for each in sealed.findings())


@pytest.mark.sqlite_suffices  # a value that no server writes is found on PostgreSQL, too
def test_the_product_that_is_kept_is_not_believed(sealed: Sealed) -> None:
    """Somebody computes the digest of the changed table, and writes its product beside it."""

    def planted(tx: Tx) -> None:
        tx.connection.execute(text("UPDATE clients SET description = 'Planted' WHERE slug = 'helper'"))
        write_products(tx.connection, {"clients": product_of(tx, "clients")})

    sealed.estate.database.append(planted)
    assert any(each.startswith("Rows of clients were changed") for each in sealed.findings())
    sealed.estate.agent("Third")
    sealed.seal()
    found = sealed.findings()
    assert any("Rows of clients were changed in the database between event" in each for each in found), found


@pytest.mark.sqlite_suffices
def test_an_event_without_a_seal_explains_no_change(sealed: Sealed) -> None:
    """Somebody plants an event that says so while no server runs."""

    def planted(tx: Tx, act: Act) -> None:
        tx.connection.execute(text("UPDATE clients SET description = 'Planted' WHERE slug = 'helper'"))
        digests = {"clients": [kept_digests(Scan(tx.connection))[0]["clients"], computed(tx, "clients")]}
        write_products(tx.connection, {"clients": product_of(tx, "clients")})
        record_act(tx, act, EventKind.CLIENT_ENABLED, detail={DIGESTS: digests})

    sealed.estate.database.append(lambda tx: planted(tx, sealed.estate.act))
    report = sealed.estate.database.read(sealed.report)
    assert (report.findings, any("has no seal, says that clients" in each for each in report.skipped)) == ((), True)


def test_a_value_that_no_server_writes_is_found(sealed: Sealed) -> None:
    """Digests cut so long a value, on PostgreSQL to what stands for no value: no digest differs."""
    is_sqlite = sealed.estate.database.dialect == "sqlite"
    spaces = "printf('%2100000s', '')" if is_sqlite else "repeat(' ', 2100000)"
    _, found = sealed.after(f"UPDATE proofs SET enrolled_by = 'mallory@example.com' || {spaces}")
    assert "Rows of proofs have a value of more than 2,097,152 characters, which no server writes." in found


@pytest.mark.sqlite_suffices  # likewise
def test_a_drop_that_says_it_changed_a_table_is_found(sealed: Sealed) -> None:
    """Somebody plants an event of a drop without a record, and the server seals it."""

    def planted(tx: Tx, act: Act) -> None:
        before = computed(tx, "role_actions")
        tx.connection.execute(text("DELETE FROM role_actions"))
        digests = {"role_actions": [before, computed(tx, "role_actions")]}
        record_act(tx, act, EventKind.EVENTS_DROPPED, detail={"before": "2026-09", "events": 3, DIGESTS: digests})

    sealed.estate.database.append(lambda tx: planted(tx, sealed.estate.act))
    sealed.seal()
    found = "".join(sealed.findings())
    assert "was inserted: the event says that role_actions changed, but events of this kind change no table." in found


@pytest.mark.sqlite_suffices  # likewise
def test_a_lower_version_of_the_authority_is_found(sealed: Sealed) -> None:
    _, found = sealed.after("UPDATE authority SET version = 1")
    assert "The authority has version 1, but event" in found


def computed(tx: Tx, table: str) -> str:
    """The digest of the table as it is."""
    return digest(product_of(tx, table))


def product_of(tx: Tx, table: str) -> int:
    names = [each.name for each in metadata.tables[table].columns]
    return product_of_rows(table, tx.connection.execute(stored(tx.connection.dialect.name, table, names)).mappings())


def run(sealed: Sealed, statement: str) -> None:
    sealed.estate.database.append(lambda tx: tx.connection.execute(text(statement)))
