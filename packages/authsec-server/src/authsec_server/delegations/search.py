"""List trust delegations in pages, filtered and sorted, and count them by role, client and state."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime

from sqlalchemy import ColumnElement, Select, select

from authsec_server import naming
from authsec_server.audit import counts
from authsec_server.clients import search as clients
from authsec_server.clients.model import Client
from authsec_server.clients.search import ClientFilters
from authsec_server.db import Tx
from authsec_server.db.matching import count_up_to, in_batches, unheard_of
from authsec_server.delegations import service, store
from authsec_server.delegations.client_state import ClientState, client_state
from authsec_server.delegations.model import (
    Delegation,
    DelegationFilters,
    DelegationSort,
    DelegationState,
    ResolvedDelegation,
    Terms,
    Uses,
)
from authsec_server.delegations.resolve import resolve_all
from authsec_server.failures import Invalid
from authsec_server.principal import Act, Role
from authsec_server.roles import service as roles
from authsec_server.roles.model import RoleDefinition

_ALL = DelegationFilters()


def page(
    tx: Tx,
    act: Act,
    terms: Terms,
    filters: DelegationFilters = _ALL,
    *,
    sort: DelegationSort = DelegationSort.NEWEST,
    after: str = "",
    limit: int = 50,
) -> tuple[list[ResolvedDelegation], str | None]:
    """Return matching delegations after the delegation with the id `after`, and the cursor of the next page."""
    act.principal.require(Role.VIEWER)
    last = store.find(tx.connection, after) if naming.is_uuid(after) else None
    if after and last is None:
        raise Invalid("cursor", "This cursor does not come from a list.", "Use `next` of the previous page.")
    found = _found(tx, act, filters, sort, last, limit + 1)
    following = found[limit - 1].id if len(found) > limit else None
    return resolve_all(tx, found[:limit], terms, act.now), following


def first(tx: Tx, act: Act, filters: DelegationFilters, *, sort: DelegationSort, limit: int) -> list[Delegation]:
    """Return the first matching delegations as stored, without their roles and clients."""
    act.principal.require(Role.VIEWER)
    return _found(tx, act, filters, sort, None, limit)


def live_for(
    tx: Tx, act: Act, terms: Terms, audience: str, *, limit: int = 50
) -> tuple[list[ResolvedDelegation], bool]:
    """Return the newest live delegations for this audience, and whether there are more.

    For the default audience, delegations that name no audience are included.
    """
    act.principal.require(Role.VIEWER)
    if unheard_of(audience):
        return [], False
    by_default = audience == terms.default_audience
    found = store.live_for(tx.connection, audience, by_default=by_default, limit=limit + 1, now=act.now)
    return resolve_all(tx, found[:limit], terms, act.now), len(found) > limit


def search(tx: Tx, act: Act, text: str, terms: Terms, *, limit: int = 8) -> list[ResolvedDelegation]:
    """Return the newest delegations that match the text. See `DelegationFilters.text`.

    Return no delegations for an empty text.
    """
    return page(tx, act, terms, DelegationFilters(text=text), limit=limit)[0] if text else []


def count(tx: Tx, act: Act, filters: DelegationFilters, *, most: int) -> int:
    """Return the number of matching delegations, at most `most`. The filters have no audience."""
    act.principal.require(Role.VIEWER)
    if unheard_of(filters.text):
        return 0
    called = _called(filters.text) if filters.text else ()
    used = None if filters.unused_since is None else counts.used(tx)
    matching = store.conditions(filters, called, act.now, used)
    return count_up_to(tx.connection, select(store.delegations.c.id).where(*matching), most)


def of_client(tx: Tx, act: Act, client_id: str, terms: Terms) -> list[ResolvedDelegation]:
    """Return the client's delegations. The live ones come first, and in each state the newest first."""
    act.principal.require(Role.VIEWER)
    held = resolve_all(tx, store.of_client(tx.connection, client_id), terms, act.now)
    held.sort(key=lambda resolved: resolved.delegation.created_at, reverse=True)
    return sorted(held, key=lambda resolved: list(DelegationState).index(resolved.state))


def using(tx: Tx, role_ids: Collection[str], now: datetime) -> dict[str, Uses]:
    """Return the numbers of delegations of each role, by one SQL statement.

    Lists of roles use this function, which does not check the role of the principal.
    """
    return dict.fromkeys(role_ids, Uses()) | store.uses_by_role(tx.connection, role_ids, now)


def held_by(tx: Tx, client_ids: Collection[str], now: datetime) -> dict[str, Uses]:
    """Return the numbers of delegations of each client, by one SQL statement.

    Lists of clients use this function, which does not check the role of the principal.
    """
    return dict.fromkeys(client_ids, Uses()) | store.uses_by_client(tx.connection, client_ids, now)


def states_of(
    tx: Tx, found: Collection[Client], now: datetime, known: Iterable[ResolvedDelegation] = ()
) -> dict[str, ClientState]:
    """Return the state of each of these clients, by id. At most two SQL statements are executed for each 500 clients.

    `known` are delegations that the transaction has loaded. The others are loaded only for clients that get no token
    under them. Lists of clients use this function, which does not check the role of the principal.
    """
    loaded: dict[str, list[tuple[Delegation, RoleDefinition]]] = {}
    for each in known:
        loaded.setdefault(each.client.id, []).append((each.delegation, each.role))
    states = {client.id: client_state(client, loaded.get(client.id, ()), now) for client in found}
    held: dict[str, list[tuple[Delegation, RoleDefinition]]] = {}
    for some in in_batches(sorted(id_ for id_, its in states.items() if its is ClientState.UNDELEGATED)):
        held |= service.of_clients(tx, some)
    return states | {client.id: client_state(client, held[client.id], now) for client in found if client.id in held}


def state_of(tx: Tx, client: Client, now: datetime) -> ClientState:
    """Return the state of one client. See `states_of`."""
    return states_of(tx, [client], now)[client.id]


def in_state(
    tx: Tx, state: ClientState, filters: ClientFilters, now: datetime
) -> tuple[ClientFilters, clients.IdCondition | None]:
    """Return the filters and a condition for clients in this state, by the rules of `client_state`."""
    if state is ClientState.DISABLED:
        return replace(filters, enabled=False), None
    if state is ClientState.UNPROVED:
        return replace(filters, enabled=True, can_authenticate=False), None

    def is_in_state(client_id: ColumnElement[str]) -> ColumnElement[bool]:
        held, proofs = roles.actions_of_roles(), clients.usable_proofs(now)
        is_ready = store.gives_authority(tx.connection, client_id, held, proofs, now)
        return is_ready if state is ClientState.READY else ~is_ready

    return replace(filters, enabled=True, can_authenticate=True), is_in_state


def tally(tx: Tx, act: Act, now: datetime) -> dict[DelegationState, int]:
    """Return the number of delegations in each state."""
    act.principal.require(Role.VIEWER)
    return store.tally(tx.connection, now)


def sharing(tx: Tx, act: Act, terms: Terms) -> int:
    """Return the number of live delegations for the default audience, which several APIs can share.

    Delegations that name no audience are included.
    """
    act.principal.require(Role.VIEWER)
    return store.number_for(tx.connection, (store.NO_AUDIENCE, terms.default_audience), act.now)


def _found(
    tx: Tx, act: Act, filters: DelegationFilters, sort: DelegationSort, after: Delegation | None, limit: int
) -> list[Delegation]:
    texts = (filters.text, filters.role_id, filters.client_id, filters.audience, filters.owner)
    if any(unheard_of(text) for text in texts if text):
        return []
    called = _called(filters.text) if filters.text else ()
    used = None if filters.unused_since is None else counts.used(tx)
    return store.page(tx.connection, filters, called, used=used, sort=sort, after=after, limit=limit, now=act.now)


def _called(text: str) -> tuple[Select[tuple[str]], Select[tuple[str]]]:
    return roles.ids_matching(text), clients.ids_matching(text)
