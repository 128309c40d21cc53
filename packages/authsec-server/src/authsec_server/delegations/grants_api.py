"""Admin API operations that revoke all delegations of one administrator or one admin key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from typing_extensions import TypedDict  # as in `web.paging`

from authsec_server.accounts import admin_keys, administrators
from authsec_server.db import Tx
from authsec_server.delegations.grants import Hand, given_by, of_admin_key, of_administrator, revoke_given_by
from authsec_server.delegations.model import Standing, Terms
from authsec_server.delegations.resolve import standings
from authsec_server.delegations.shown import DelegationShown, as_json
from authsec_server.principal import Act, Role
from authsec_server.web.bodies import Body
from authsec_server.web.operations import API, AnyOperation, Call, Operation

Find = Callable[[Tx, Act, str], Hand]


class Asked(Body):
    """Request body: whether to revoke also the delegations that somebody else has changed since."""

    also_changed_since: bool = False


class GrantsRevoked(TypedDict):
    """The revoked delegations, and those that were kept because somebody else has changed them since."""

    revoked: list[DelegationShown]
    changed_since: list[DelegationShown]


def _administrator(tx: Tx, act: Act, reference: str) -> Hand:
    return of_administrator(administrators.get(tx, act, reference))


def _admin_key(tx: Tx, act: Act, key_id: str) -> Hand:
    return of_admin_key(admin_keys.get(tx, act, key_id))


_HANDS: tuple[tuple[str, str, str, Find], ...] = (
    ("administrators/{administrator}", "Administrator", "an administrator", _administrator),
    ("admin-keys/{key}", "AdminKey", "an admin key", _admin_key),
)


def operations(terms: Terms) -> list[AnyOperation]:
    """Return the operations for administrators and for admin keys."""
    return [
        Operation(
            method="POST",
            path=f"{API}/{whose}/revoke-grants",
            operation_id=f"revokeGrantsOf{word}",
            summary=f"Revoke, for good, all that {called} has delegated",
            description="What somebody has changed since stays, unless also_changed_since is true.",
            least=Role.ADMIN,
            body=Asked,
            handler=_revoking(whose.partition("{")[2].rstrip("}"), find, terms),
            answer=GrantsRevoked,
        )
        for whose, word, called, find in _HANDS
    ]


def _revoking(name: str, find: Find, terms: Terms) -> Callable[[Call[Asked]], Awaitable[GrantsRevoked]]:
    async def revoke(call: Call[Asked]) -> GrantsRevoked:
        def work(tx: Tx, act: Act) -> tuple[list[Standing], list[Standing]]:
            hand = find(tx, act, call.of(name))
            revoked = revoke_given_by(tx, act, hand, terms, also_changed_since=call.body.also_changed_since)
            return revoked, standings(tx, given_by(tx, act, hand).changed_since, terms, act.now)

        revoked, since = await call.change(work)
        return {
            "revoked": [as_json(standing, call.act.now) for standing in revoked],
            "changed_since": [as_json(standing, call.act.now) for standing in since],
        }

    return revoke
