"""Raw SQL marks a row as revoked, waits until an operator revokes it, and takes the mark away.

If the operation found nothing to do, it would succeed without an event. The thing would then be live, although the
operator was told that it is revoked, and each row would be as a server wrote it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from authsec_server.accounts import admin_keys, administrators
from authsec_server.clients import service as clients
from authsec_server.delegations import service as delegations
from sealed_estate import sealed_estate
from sqlalchemy import text

AT = "'2026-11-20 00:00:00.000000'"


@dataclass(frozen=True)
class Ended:
    """A thing to revoke: its row, how raw SQL marks and unmarks the row, the honest change, and the finding."""

    row: str
    mark: str
    unmark: str
    revoke: Callable[[Any, Any, Any], Any]
    kind: str
    told: str = "Rows of"


THINGS = {
    "an admin key": Ended(
        "admin_keys SET {} WHERE name = 'ann-key'",
        f"revoked_at = {AT}",
        "revoked_at = NULL",
        lambda tx, act, _: admin_keys.revoke(tx, act, "ann-key"),
        "admin_key.revoked",
        "the row in admin_keys is not revoked",
    ),
    "a delegation": Ended(
        "delegations SET {} WHERE slug = 'first'",
        f"revoked_at = {AT}",
        "revoked_at = NULL",
        lambda tx, act, terms: delegations.revoke(tx, act, "first", terms),
        "delegation.revoked",
        "the row in delegations is not revoked",
    ),
    "a delegation that is disabled": Ended(
        "delegations SET {} WHERE slug = 'first'",
        f"revoked_at = {AT}",
        "revoked_at = NULL",
        lambda tx, act, terms: delegations.disable(tx, act, "first", terms),
        "delegation.disabled",
    ),
    "an agent": Ended(
        "clients SET {} WHERE slug = 'helper'",
        "enabled = false",
        "enabled = true",
        lambda tx, act, _: clients.disable(tx, act, "helper"),
        "client.disabled",
        "the row in clients is not disabled",
    ),
    "an agent among others": Ended(
        "clients SET {} WHERE slug = 'helper'",
        "enabled = false",
        "enabled = true",
        lambda tx, act, _: clients.disable_many(tx, act, [clients.get(tx, act, "helper").id]),
        "client.disabled",
        "the row in clients is not disabled",
    ),
    "an administrator": Ended(
        "administrators SET {} WHERE email = 'ann@example.com'",
        f"disabled_at = {AT}",
        "disabled_at = NULL",
        lambda tx, act, _: administrators.disable(tx, act, "ann@example.com"),
        "administrator.disabled",
        "the row in administrators is not disabled",
    ),
}


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("thing", THINGS)
def test_a_revocation_of_what_seems_revoked_is_recorded_and_its_undoing_is_found(estate: Any, thing: str) -> None:
    sealed, its = sealed_estate(estate), THINGS[thing]

    def execute(setting: str) -> None:
        statement = text(f"UPDATE {its.row.format(setting)}")
        estate.database.append(lambda tx: tx.connection.execute(statement))

    execute(its.mark)
    estate.do(lambda tx, act: its.revoke(tx, act, estate.terms))
    execute(its.unmark)
    sealed.seal()
    assert len(estate.events(its.kind)) == 1
    assert its.told in "".join(sealed.findings())
