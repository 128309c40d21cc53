"""Admin API operations that revoke all delegations of one administrator or one admin key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from typing_extensions import TypedDict  # as in `web.paging`

from authsec_server.accounts import admin_keys, administrators
from authsec_server.db import Tx
from authsec_server.delegations.grants import Grantor, grants_of, of_admin_key, of_administrator, revoke_grants_of
from authsec_server.delegations.model import ResolvedDelegation, Terms
from authsec_server.delegations.resolve import resolve_all
from authsec_server.delegations.views import DelegationShown, as_json
from authsec_server.principal import Act, Role
from authsec_server.web.bodies import Body
from authsec_server.web.operations import API, AnyOperation, Call, declared, operation

Find = Callable[[Tx, Act], Grantor]


class Asked(Body):
    """Request body. `also_changed_since` also revokes the delegations that somebody else has changed since."""

    also_changed_since: bool = False


class GrantsRevoked(TypedDict):
    """The revoked delegations. `changed_since` were kept, because somebody else has changed them since."""

    revoked: list[DelegationShown]
    changed_since: list[DelegationShown]


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantOperations:
    """The operations on all trust delegations that one administrator or admin key granted.

    `terms` are the settings that apply to every delegation.
    """

    terms: Terms

    @operation(
        "POST", f"{API}/administrators/{{administrator}}/revoke-grants", "revokeGrantsOfAdministrator", least=Role.ADMIN
    )
    async def revoke_of_administrator(self, call: Call[Asked]) -> GrantsRevoked:
        """Revoke permanently all trust delegations that an administrator granted.

        Trust delegations that somebody else has changed since are revoked only if `also_changed_since` is true.
        """
        whose = call.of("administrator")
        return await self._revoke(call, lambda tx, act: of_administrator(administrators.get(tx, act, whose)))

    @operation("POST", f"{API}/admin-keys/{{key}}/revoke-grants", "revokeGrantsOfAdminKey", least=Role.ADMIN)
    async def revoke_of_admin_key(self, call: Call[Asked]) -> GrantsRevoked:
        """Revoke permanently all trust delegations that an admin key granted.

        Trust delegations that somebody else has changed since are revoked only if `also_changed_since` is true.
        """
        whose = call.of("key")
        return await self._revoke(call, lambda tx, act: of_admin_key(admin_keys.get(tx, act, whose)))

    async def _revoke(self, call: Call[Asked], find: Find) -> GrantsRevoked:
        def work(tx: Tx, act: Act) -> tuple[list[ResolvedDelegation], list[ResolvedDelegation]]:
            grantor = find(tx, act)
            revoked = revoke_grants_of(tx, act, grantor, self.terms, also_changed_since=call.body.also_changed_since)
            return revoked, resolve_all(tx, grants_of(tx, act, grantor).changed_since, self.terms, act.now)

        revoked, since = await call.change(work)
        return {
            "revoked": [as_json(resolved, call.act.now) for resolved in revoked],
            "changed_since": [as_json(resolved, call.act.now) for resolved in since],
        }


def operations(terms: Terms) -> list[AnyOperation]:
    """Return the operations for administrators and for admin keys; see `GrantOperations`."""
    its = GrantOperations(terms=terms)
    return declared(its.revoke_of_administrator, its.revoke_of_admin_key)
