"""An administrator of the database swaps two names, so that a search by name lists the events of something else.

`audit list --agent SLUG` looks the slug up in the table `clients`, which no seal covers. The events themselves stay as
they were sealed. `verify` compares each name with the events that gave it.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.clients import service as clients
from authsec_server.delegations import service
from authsec_server.delegations import service as delegations
from sealed_estate import Sealed, listed, sealed_estate, swapped

pytestmark = pytest.mark.sqlite_suffices


@pytest.fixture
def sealed(estate: Any) -> Sealed:
    """Two of each thing that readers find by a name, some of them edited."""
    return sealed_estate(estate)


SWAPS = {
    "agents": (
        {"client": "helper"},
        swapped("clients", "slug", "helper", "payments"),
        (
            'has the slug "payments", but the events say "helper".',
            'has the slug "helper", but the events say "payments".',
        ),
    ),
    "delegations": (
        {"delegation": "first"},
        swapped("delegations", "slug", "first", "other"),
        ('has the slug "other", but the events say "first".', 'has the slug "first", but the events say "other".'),
    ),
    "a delegation's client": (
        {"delegation": "first"},
        ("UPDATE delegations SET client_id = (SELECT id FROM clients WHERE slug = 'payments') WHERE slug = 'first'",),
        ("belongs to the client ",),
    ),
    "administrators": (
        {},
        swapped("administrators", "email", "ann@example.com", "bob@example.com"),
        ('has the email "bob@example.com", but the events say "ann@example.com".',),
    ),
    "admin keys": (
        {},
        swapped("admin_keys", "name", "ann-key", "bob-key"),
        ('has the name "bob-key", but the events say "ann-key".',),
    ),
}


@pytest.mark.parametrize("what", SWAPS)
def test_a_name_that_leads_elsewhere_is_found(sealed: Sealed, what: str) -> None:
    asked, attack, findings = SWAPS[what]
    before = sealed.estate.database.read(lambda tx: listed(tx, asked))
    told, found = sealed.after(*attack, asked=asked)
    assert not asked or told != before, "the attack changes an answer"
    for finding in findings:
        assert finding in found


def test_a_row_that_is_replaced_or_comes_back_is_found(sealed: Sealed) -> None:
    _, found = sealed.after("UPDATE admin_keys SET id = 'somebody' WHERE name = 'ann-key'")
    assert '"ann-key", is missing in admin_keys, and no event says that' in found
    columns = "slug, name, kind, platform, owner, description, labels, enabled, created_at"
    copied = columns.replace("slug", "'helper'")
    kept = sealed.estate.see(lambda tx, act: clients.get(tx, act, "helper"))
    sealed.estate.do(lambda tx, act: service.delete_client(tx, act, kept.id, sealed.estate.terms))
    sealed.seal()
    assert sealed.findings() == ()
    comes_back = (
        f"INSERT INTO clients (id, {columns}) SELECT '{kept.id}', {copied} FROM clients WHERE slug = 'payments'"
    )
    _, found = sealed.after(comes_back)
    assert f"The client {kept.id} is in clients, but the events say that it was deleted." in found


def test_what_the_server_does_to_names_is_no_finding(sealed: Sealed) -> None:
    """Nor before it is sealed: a slug that a new delegation takes from one that is over, and a deleted role."""
    estate = sealed.estate
    estate.do(lambda tx, act: delegations.revoke(tx, act, "first", estate.terms))
    estate.delegate(slug="first")
    assert sealed.findings() == ()
    for slug in ("first", "other"):
        estate.do(lambda tx, act, s=slug: delegations.revoke(tx, act, s, estate.terms))
    role = estate.see(lambda tx, act: delegations.get(tx, act, "first", estate.terms)).role
    estate.do(lambda tx, act: service.delete_role(tx, act, role.id))
    assert sealed.findings() == ()
    sealed.seal()
    assert sealed.findings() == ()


def test_names_are_no_way_to_write_to_a_terminal(sealed: Sealed) -> None:
    _, found = sealed.after("UPDATE clients SET slug = '\x1b[2J\u202egnp' WHERE slug = 'helper'")
    assert r'has the slug "\u001b[2J\u202egnp", but the events say "helper".' in found


def test_many_are_told_by_ten_and_a_number(sealed: Sealed) -> None:
    for number in range(14):
        sealed.estate.agent(f"Agent {number}")
    _, found = sealed.after("UPDATE clients SET slug = slug || '-x'")
    assert found.count("has the slug") == 10
    assert "clients differs from the events in 6 more rows." in found
