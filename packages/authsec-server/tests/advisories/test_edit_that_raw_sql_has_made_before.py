"""Raw SQL makes the edit of an operator first, waits until the operator makes it, and undoes it afterwards.

An operator takes an action from a role. Raw SQL deletes the row of that action before, and inserts it again later. The
edit finds the actions as they should become, so it revokes no token. If the edit changed no row of an action,
`role_actions` would be in none of its digests. If nothing else of the role is edited, and the edit were not recorded,
there would be no event at all. The same is true of other edits that take authority away.

Afterwards each row is as a server wrote it. Agents get new tokens with the action, and the old tokens stay valid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.accounts import administrators
from authsec_server.apis import service as apis
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import read_checkpoint
from authsec_server.audit.sealing.verifying import verify
from authsec_server.delegations import editing
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import ProposedTrustedIssuer
from authsec_server.principal import Role
from authsec_server.roles import service as roles
from long_runs import mostly_on_sqlite
from sealed_estate import sealed_estate

pytestmark = pytest.mark.changes_rows_only


@dataclass(frozen=True)
class Edit:
    """An honest edit, what raw SQL does before and after it, and what must be so if the edit has an effect."""

    before: Sequence[str]
    edit: Callable[[Any, Any, Any], Any]
    after: Sequence[str]
    is_undone: Callable[[Any, Any, Any], bool]


_ROW = "action = 'customers:delete'"
_TAKEN = (f"CREATE TABLE kept AS SELECT * FROM role_actions WHERE {_ROW}", f"DELETE FROM role_actions WHERE {_ROW}")
_CALLERS = "SELECT * FROM delegation_audiences WHERE audience = 'erp'"
_BACK = ("INSERT INTO role_actions SELECT * FROM kept", "DROP TABLE kept")


def _narrowed(tx: Any, act: Any, **others: str) -> Any:
    return roles.edit(tx, act, "support", revision=1, changes={"actions": ["customers:read"], **others})


def _still_deletes(tx: Any, act: Any, _terms: Any) -> bool:
    return "customers:delete" in roles.get(tx, act, "support").actions


CI = ProposedTrustedIssuer(
    name="CI",
    kind="oidc",
    issuer="https://ci.example.com",
    keys_from="discovery",
    claims={"ci:repository": "repository"},
)
EDITS = {
    "a role and its description": Edit(
        _TAKEN, lambda tx, act, _: _narrowed(tx, act, description="Reads only"), _BACK, _still_deletes
    ),
    "a role": Edit(_TAKEN, lambda tx, act, _: _narrowed(tx, act), _BACK, _still_deletes),
    "a delegation": Edit(
        [
            "CREATE TABLE kept AS SELECT max_duration FROM delegations WHERE slug = 'first'",
            "UPDATE delegations SET max_duration = 300 WHERE slug = 'first'",
        ],
        lambda tx, act, terms: editing.edit(tx, act, "first", {"max_duration": 300}, terms, revision=1),
        ["UPDATE delegations SET max_duration = (SELECT * FROM kept) WHERE slug = 'first'", "DROP TABLE kept"],
        lambda tx, act, terms: editing.get(tx, act, "first", terms).delegation.max_duration != 300,
    ),
    "a copy of an audience, by which an API's callers are listed": Edit(
        [f"CREATE TABLE kept AS {_CALLERS}", "DELETE FROM delegation_audiences WHERE audience = 'erp'"],
        lambda tx, act, terms: editing.edit(tx, act, "third", {"audiences": ("crm",)}, terms, revision=1),
        ["INSERT INTO delegation_audiences SELECT * FROM kept", "DROP TABLE kept"],
        lambda tx, _act, _terms: bool(tx.connection.exec_driver_sql(_CALLERS).all()),
    ),
    "an administrator": Edit(
        ["UPDATE administrators SET role = 'viewer' WHERE email = 'eve@example.com'"],
        lambda tx, act, _: administrators.change_role(tx, act, "eve@example.com", Role.VIEWER, revision=1),
        ["UPDATE administrators SET role = 'admin' WHERE email = 'eve@example.com'"],
        lambda tx, act, _: administrators.get(tx, act, "eve@example.com").role is not Role.VIEWER,
    ),
    "a trusted issuer": Edit(
        ["UPDATE trusted_issuers SET issuer = 'https://new.example.com'"],
        lambda tx, act, _: issuers.edit(tx, act, "ci", revision=1, changes={"issuer": "https://new.example.com"}),
        ["UPDATE trusted_issuers SET issuer = 'https://ci.example.com'"],
        lambda tx, act, _: issuers.get(tx, act, "ci").issuer == "https://ci.example.com",
    ),
    "an API": Edit(
        ["UPDATE apis SET identifier = 'crm-new'"],
        lambda tx, act, _: apis.edit(tx, act, "crm", revision=1, changes={"identifier": "crm-new"}),
        ["UPDATE apis SET identifier = 'crm-old'"],
        lambda tx, act, _: apis.get(tx, act, "crm").identifier == "crm-old",
    ),
}


@pytest.mark.parametrize("its", mostly_on_sqlite(EDITS, "a role"), ids=EDITS)
def test_an_edit_has_its_effect_or_its_undoing_is_found(estate: Any, its: Edit) -> None:
    sealed = sealed_estate(estate)
    estate.do(lambda tx, act: administrators.invite(tx, act, email="eve@example.com", name="E", role=Role.ADMIN))
    estate.delegate(slug="third", audiences=("crm", "erp"))
    estate.do(lambda tx, act: apis.create(tx, act, name="CRM", identifier="crm-old"))
    estate.do(lambda tx, act: issuers.create(tx, act, CI))
    sealed.seal()

    def execute(statements: Sequence[str]) -> None:
        for each in statements:
            estate.database.append(lambda tx, each=each: tx.connection.exec_driver_sql(each) and None)

    execute(its.before)
    estate.do(lambda tx, act: its.edit(tx, act, estate.terms))
    assert not estate.see(lambda tx, act: its.is_undone(tx, act, estate.terms))
    execute(its.after)
    sealed.seal()
    signed = estate.see(lambda tx, _: store.last_signed(tx.connection))
    outside = read_checkpoint(signed, sealed.keys.by_kid())  # covers the edit
    now = estate.act.now + timedelta(minutes=10)
    report = estate.database.check(lambda tx: verify(tx, sealed.keys.by_kid(), [outside], now=now))
    assert not estate.see(lambda tx, act: its.is_undone(tx, act, estate.terms)) or report.findings
