"""Find and revoke all delegations that one administrator or admin key granted, for example after a compromise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from authsec_server.accounts.model.admin_keys import AdminKey
from authsec_server.accounts.model.administrators import Administrator
from authsec_server.audit import service as audit
from authsec_server.audit.filters import EventFilter
from authsec_server.audit.model import Event, EventKind
from authsec_server.db import Tx
from authsec_server.delegations import service, store
from authsec_server.delegations.model import ENDED_STATES, Delegation, ResolvedDelegation, Terms, state
from authsec_server.principal import Act, PrincipalKind, Role

_GRANTING_KINDS = frozenset({EventKind.DELEGATION_CREATED, EventKind.DELEGATION_EDITED, EventKind.DELEGATION_ENABLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Grantor:
    """An administrator or admin key that granted delegations. `called` is a unique name for the audit log."""

    kind: PrincipalKind
    id: str
    called: str


def of_administrator(administrator: Administrator) -> Grantor:
    """Return the `Grantor` of this administrator."""
    return Grantor(
        kind=PrincipalKind.ADMINISTRATOR, id=administrator.id, called=f"the administrator {administrator.email}"
    )


def of_admin_key(key: AdminKey) -> Grantor:
    """Return the `Grantor` of this admin key."""
    return Grantor(kind=PrincipalKind.ADMIN_KEY, id=key.id, called=f"the admin key {key.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """The live and disabled delegations that one administrator or admin key granted.

    `held` are delegations that this principal created, or was the last to edit or enable. `changed_since` are
    delegations that this principal edited or enabled, and that another principal changed later. Such a
    delegation can still have authority that the first principal added, unless the later change removed it.
    """

    held: tuple[Delegation, ...] = ()
    changed_since: tuple[Delegation, ...] = ()

    def with_changed(self) -> Grants:
        """Return the same delegations, all of them in `held`."""
        return Grants(held=(*self.held, *self.changed_since))


def grants_of(tx: Tx, act: Act, grantor: Grantor) -> Grants:
    """Return the delegations that this principal granted.

    Disabled delegations are included, because somebody could enable them again. The result comes from the audit
    log. The audit log records principals by id, because two names can be equal, and a name can change.
    """
    act.principal.require(Role.VIEWER)
    created: set[str] = set()
    changes: dict[str, set[datetime]] = defaultdict(set)
    for event in _acts(tx, act, grantor):
        for delegation in event.delegations:
            if event.kind is EventKind.DELEGATION_CREATED:
                created.add(delegation.id)
            changes[delegation.id].add(event.at)
    held: list[Delegation] = []
    changed_since: list[Delegation] = []
    for each in store.by_ids(tx.connection, changes):
        if state(each, act.now) not in ENDED_STATES:
            theirs = each.id in created or each.changed_at in changes[each.id]
            (held if theirs else changed_since).append(each)
    return Grants(held=tuple(held), changed_since=tuple(changed_since))


def revoke_grants_of(
    tx: Tx, act: Act, grantor: Grantor, terms: Terms, *, also_changed_since: bool = False
) -> list[ResolvedDelegation]:
    """Revoke the delegations that this principal granted, and record each revocation. Call only inside a `change`.

    Delegations that others have changed since are revoked only if `also_changed_since` is true.
    """
    act.principal.require(Role.ADMIN)
    because = f"all that {grantor.called} delegated was revoked"
    given = grants_of(tx, act, grantor)
    given = given.with_changed() if also_changed_since else given
    return [service.revoke(tx, act, each.id, terms, because=because) for each in given.held]


def _acts(tx: Tx, act: Act, grantor: Grantor) -> Iterator[Event]:
    """Yield the events in which this principal created, edited or enabled a delegation."""
    wanted, after = EventFilter(principal=(grantor.kind, grantor.id), kinds=_GRANTING_KINDS), 0
    while True:
        page = audit.page(tx, act.principal, wanted, after=after, limit=audit.MAX_PAGE)
        yield from (recorded.event for recorded in page.items)
        if page.next is None:
            return
        after = page.next
