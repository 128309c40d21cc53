"""An administrator of the database swaps two names, so that a search by name lists the events of something else.

`audit list --agent SLUG` looks the slug up in the table `clients`, which no seal covers. The events themselves stay as
they were sealed. `verify` compares each name with the events that gave it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.accounts import administrators
from authsec_server.accounts import service as accounts
from authsec_server.app.names import NAMES
from authsec_server.audit import service as audit
from authsec_server.audit.asking import read_filter
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.trail import Report
from authsec_server.audit.sealing.verifying import verify
from authsec_server.clients import changes
from authsec_server.clients.model import Changes
from authsec_server.db import Tx
from authsec_server.delegations import editing, removal
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import Edit
from authsec_server.keys.journal import JournalKeys
from authsec_server.keys.master import MasterKey
from authsec_server.principal import LOCAL_OPERATOR, Role
from sqlalchemy import text


class Undone(Exception):
    """Rolls the attack back."""


@dataclass
class Sealed:
    """An estate whose events are sealed."""

    estate: Any
    keys: JournalKeys

    def seal(self) -> None:
        sealed_at = self.estate.act.now + timedelta(minutes=10)
        key, known = self.keys.signing_key, self.keys.by_kid
        sealer = Sealer(self.estate.database, issuer="https://a", signing_key=key, keys=known, now=lambda: sealed_at)
        while sealer.seal():
            pass

    def report(self, tx: Tx) -> Report:
        return verify(tx, self.keys.by_kid())

    def findings(self) -> tuple[str, ...]:
        found: Report = self.estate.database.read(self.report)
        return found.findings

    def after(self, *statements: str, asked: Mapping[str, str] | None = None) -> tuple[list[int], str]:
        """What a reader is told, and what is found, after these; afterwards all is as it was."""
        seen: list[tuple[list[int], str]] = []

        def attempt(tx: Tx) -> None:
            for each in statements:
                assert tx.connection.execute(text(each)).rowcount, each
            seen.append((listed(tx, asked) if asked else [], "\n".join(self.report(tx).findings)))
            raise Undone

        with pytest.raises(Undone):
            self.estate.database.append(attempt)
        return seen[0]


def listed(tx: Tx, query: Mapping[str, str]) -> list[int]:
    return [each.id for each in audit.page(tx, LOCAL_OPERATOR, read_filter(tx, query, NAMES), limit=200).items]


def swapped(table: str, column: str, one: str, other: str) -> tuple[str, ...]:
    pairs = ((one, "between"), (other, one), ("between", other))
    return tuple(f"UPDATE {table} SET {column} = '{new}' WHERE {column} = '{old}'" for old, new in pairs)


@pytest.fixture
def sealed(estate: Any) -> Sealed:
    """Two of each thing that readers find by a name, some of them edited."""
    estate.role()
    estate.agent("Helper")
    estate.agent("Payments", slug="money")
    estate.do(lambda tx, act: changes.edit(tx, act, "money", revision=1, changes=Changes(slug="payments")))
    estate.do(lambda tx, act: changes.edit(tx, act, "payments", revision=2, changes=Changes(owner="team")))
    estate.delegate(slug="first")
    given = estate.delegate(client="payments", slug="second").delegation
    wanted = Edit(target_type=given.target_type, owner="team", max_duration=60, actions=given.actions, slug="other")
    estate.do(lambda tx, act: editing.edit(tx, act, "second", wanted, estate.terms, revision=1))
    for name in ("ann", "bob"):
        estate.do(lambda tx, act, n=name: accounts.create(tx, act, name=f"{n}-key", role=Role.VIEWER))
        email = f"{name}@old.example"
        estate.do(lambda tx, act, e=email: administrators.invite(tx, act, email=e, name="P", role=Role.VIEWER))
        estate.do(
            lambda tx, act, e=email, n=name: administrators.change_email(tx, act, e, f"{n}@example.com", revision=1)
        )
    keys = JournalKeys(estate.database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    keys.keep(estate.act.now)
    its = Sealed(estate, keys)
    its.seal()
    assert its.findings() == ()
    return its


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
    kept = sealed.estate.see(lambda tx, act: changes.service.get(tx, act, "helper"))
    sealed.estate.do(lambda tx, act: removal.delete_client(tx, act, kept.id, sealed.estate.terms))
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
    estate.do(lambda tx, act: removal.delete_role(tx, act, role.id))
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
    assert "clients differs from the events in 6 rows more." in found
