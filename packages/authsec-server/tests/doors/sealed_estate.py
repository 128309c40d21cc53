"""An estate whose things have names and sealed events: to see which raw SQL changes an answer, and what is found."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.accounts import admin_keys as accounts
from authsec_server.accounts import administrators
from authsec_server.app.routes import NAMES
from authsec_server.audit import service as audit
from authsec_server.audit.api import read_filter
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.clients import service
from authsec_server.db import Tx
from authsec_server.delegations import editing
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.principal import LOCAL_OPERATOR, Role
from databases import FilledOnce
from sqlalchemy import text


class Undone(Exception):
    """Rolls the attack back."""


@dataclass
class Sealed:
    """An estate whose events are sealed."""

    estate: Any
    keys: SealingKeys

    @classmethod
    def of(cls, estate: Any) -> Sealed:
        """The estate, with the keys that its database has or gets."""
        return cls(estate, SealingKeys(estate.database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes))

    def seal(self) -> None:
        sealed_at = self.estate.act.now + timedelta(minutes=10)
        key, known = self.keys.signing_key, self.keys.by_kid
        sealer = Sealer(self.estate.database, issuer="https://a", signing_key=key, keys=known, now=lambda: sealed_at)
        while sealer.seal():
            pass

    def report(self, tx: Tx) -> Report:
        return verify_log(tx, self.keys.by_kid(), now=self.estate.act.now + timedelta(minutes=10))

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


_estate: FilledOnce[None] = FilledOnce()


def sealed_estate(estate: Any) -> Sealed:
    """Two of each thing that readers find by a name, some of them edited. The estate was empty."""
    assert estate.events() == []
    _estate.fill(estate.database, lambda: _fill(estate))
    return Sealed.of(estate)


def _fill(estate: Any) -> None:
    estate.role()
    estate.agent("Helper")
    estate.agent("Payments", slug="money")
    estate.do(lambda tx, act: service.edit(tx, act, "money", revision=1, changes={"slug": "payments"}))
    estate.do(lambda tx, act: service.edit(tx, act, "payments", revision=2, changes={"owner": "team"}))
    estate.delegate(slug="first")
    given = estate.delegate(client="payments", slug="second").delegation
    wanted = {
        "target_type": given.target_type,
        "owner": "team",
        "max_duration": 60,
        "actions": given.actions,
        "slug": "other",
    }
    estate.do(lambda tx, act: editing.edit(tx, act, "second", wanted, estate.terms, revision=1))
    for name in ("ann", "bob"):
        estate.do(lambda tx, act, n=name: accounts.create(tx, act, name=f"{n}-key", role=Role.VIEWER))
        email = f"{name}@old.example"
        estate.do(lambda tx, act, e=email: administrators.invite(tx, act, email=e, name="P", role=Role.VIEWER))
        estate.do(
            lambda tx, act, e=email, n=name: administrators.change_email(tx, act, e, f"{n}@example.com", revision=1)
        )
    its = Sealed.of(estate)
    its.keys.keep(estate.act.now)
    its.seal()
    assert its.findings() == ()
