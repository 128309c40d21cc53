"""Compute the impact of a change before it is made. Nothing here changes data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from authsec_server.apis import service as apis
from authsec_server.audit.model import Event, Named
from authsec_server.clients import bindings, held_proofs
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client, Proof, ProofKind
from authsec_server.db import Tx
from authsec_server.delegations import live_tokens as live_tokens
from authsec_server.delegations import search, store
from authsec_server.delegations.client_state import ClientState
from authsec_server.delegations.editing import proposed_edit
from authsec_server.delegations.live_tokens import LiveTokens, TokensAtApi
from authsec_server.delegations.model import Delegation, DelegationState, Terms, grant_gap, state, title
from authsec_server.delegations.resolve import stored
from authsec_server.issuers import service as issuers
from authsec_server.keys import service as keys
from authsec_server.principal import Act, Role
from authsec_server.roles import service as roles
from authsec_server.roles.model import RoleDefinition, parse_actions

MOST = 500  # delegations, or clients of a trusted issuer; reading one more shows whether there are more


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """The impact of a change: which tokens end, and which clients gain or lose authority.

    - `agents`: the clients of `delegations` and `loses`.
    - `go_on`: the ids of those agents that still get tokens after the change.
    - `delegations`: live delegations that lose their tokens.
    - `live_tokens`: the number of these tokens that are not revoked.
    - `last_expiry`: the time at which the last of the tokens expires, even if the token is revoked. An API that
      does not follow revocations accepts the token until then.
    - `apis`: the APIs that accept the tokens.
    - `loses`: live delegations that grant less after the change.
    - `gains`: delegations that grant more after the change.
    - `mute`: the ids of the delegations in `gains` of a role edit that grant nothing, because of their own terms.
    - `keeps`: other delegations by which a client still gets tokens.
    - `more`: the lists are incomplete.
    """

    agents: tuple[Named, ...] = ()
    go_on: frozenset[str] = frozenset()
    delegations: tuple[Named, ...] = ()
    live_tokens: int = 0
    last_expiry: datetime | None = None
    apis: tuple[TokensAtApi, ...] = ()
    loses: tuple[Named, ...] = ()
    gains: tuple[Named, ...] = ()
    mute: frozenset[str] = frozenset()
    keeps: tuple[Named, ...] = ()
    more: bool = False

    @property
    def audiences(self) -> tuple[str, ...]:
        """Return the audiences of the affected tokens."""
        return tuple(sorted(each.audience for each in self.apis))


def of_client(tx: Tx, act: Act, client_id: str, terms: Terms) -> Impact:
    """Return the impact of disabling or deleting the client. Raises `NotFound`."""
    return of_clients(tx, act, [clients.get(tx, act, client_id).id], terms)


def of_clients(tx: Tx, act: Act, client_ids: Sequence[str], terms: Terms) -> Impact:
    """Return the impact of disabling these clients. Unknown ids are skipped."""
    return of_many(tx, act, store.of_clients(tx.connection, client_ids), terms)


def of_delegation(tx: Tx, act: Act, delegation_id: str, terms: Terms) -> Impact:
    """Return the impact of disabling or revoking the delegation. Raises `NotFound`."""
    act.principal.require(Role.VIEWER)
    it = stored(tx, delegation_id)
    live = _live([it], act.now)
    others = [each for each in store.of_client(tx.connection, it.client_id) if each.id != it.id]
    return _ending(tx, act, terms, live, out=[it], loses=live, keeps=_granting(tx, others, act.now))


def of_edit(tx: Tx, act: Act, delegation_id: str, changes: Mapping[str, Any], terms: Terms) -> Impact:
    """Return the impact of this edit of the delegation. Raises the same errors as the edit.

    If the edited delegation grants the client nothing, the client goes on only with another delegation.
    """
    after, rows = proposed_edit(tx, act, delegation_id, changes, terms)
    live = _live([stored(tx, delegation_id)], act.now)
    narrower = live if any(row.narrows for row in rows) else []
    wider = live if any(row.widens for row in rows) else []
    what = _ending(tx, act, terms, narrower, loses=narrower, gains=wider)
    return _all_go_on(what) if after.gap(act.now) is None else what


def of_role_edit(tx: Tx, act: Act, role_id: str, actions: Sequence[str], terms: Terms) -> Impact:
    """Return the impact of giving the role these actions. Raises `NotFound` or `Invalid`.

    If an action is removed, all tokens of the role end. An agent goes on if a delegation still gives it an action.
    If an action is added, `gains` has the delegations that already allow this action. These delegations grant the
    action at once.
    """
    act.principal.require(Role.VIEWER)
    role = roles.get(tx, act, role_id)
    after = replace(role, actions=parse_actions(actions))
    removed, added = set(role.actions) - set(after.actions), set(after.actions) - set(role.actions)
    live = store.live_of_role(tx.connection, role.id, limit=MOST + 1, now=act.now)
    loses = [delegation for delegation in live if removed & set(delegation.actions)]
    gains = [delegation for delegation in live if added & set(delegation.actions)]
    what = _ending(tx, act, terms, live if removed else [], loses=loses, gains=gains)
    held = store.of_clients(tx.connection, [each.id for each in what.agents])
    known = clients.by_ids(tx, {each.client_id for each in gains})
    gaps = {each.id: grant_gap(known[each.client_id], each, after, act.now) for each in gains}
    return replace(
        what,
        go_on=frozenset(each.client_id for each in _granting(tx, held, act.now, edited=after)),
        mute=frozenset(id_ for id_, gap in gaps.items() if gap and gap.is_of_delegation),
    )


def of_many(tx: Tx, act: Act, held: Sequence[Delegation], terms: Terms) -> Impact:
    """Return the impact of revoking these delegations."""
    act.principal.require(Role.VIEWER)
    live = _live(held, act.now)
    return _ending(tx, act, terms, live, out=held, loses=live)


def of_proof(tx: Tx, act: Act, client_id: str, proof_id: str) -> Impact:
    """Return the impact of removing the proof from the client. Raises `NotFound`."""
    act.principal.require(Role.VIEWER)
    client = clients.get(tx, act, client_id)
    return _of_proofs(tx, act, client, {held_proofs.held(client, proof_id).id})


def of_secrets(tx: Tx, act: Act, client_id: str, *, at_once: bool) -> Impact:
    """Return the impact of rotating the client's secret. Raises `NotFound`.

    `at_once` is true if the current secrets end at once. Otherwise the rotation stops nothing.
    """
    act.principal.require(Role.VIEWER)
    client = clients.get(tx, act, client_id)
    secrets = {proof.id for proof in client.proofs if proof.kind is ProofKind.SECRET} if at_once else set()
    return _of_proofs(tx, act, client, secrets)


def of_trusted_issuer(tx: Tx, act: Act, trusted_issuer_id: str) -> Impact:
    """Return the impact of disabling or removing the trusted issuer. Raises `NotFound`.

    `agents` are the clients whose tokens depend on the issuer.
    """
    act.principal.require(Role.VIEWER)
    trusted_issuer = issuers.get(tx, act, trusted_issuer_id)
    holders = bindings.holders(tx, trusted_issuer, MOST + 1)
    tokens = live_tokens.of_clients(tx, act.now, holders, lambda each: each.trusted_issuer_id == trusted_issuer.id)
    its = clients.by_ids(tx, {agent.id for agent in tokens.agents}).values()
    after = [_without(client, lambda proof: proof.trusted_issuer_id == trusted_issuer.id) for client in its]
    more = tokens.more or len(holders) > MOST
    return replace(_of_tokens(tx, act, tokens), go_on=still_granted(tx, after, act.now), more=more)


def stopped_by(tx: Tx, act: Act, trusted_issuer_id: str) -> tuple[Named, ...]:
    """Return up to `MOST` clients that get tokens now, and none without the trusted issuer. Raises `NotFound`.

    A client without a live token is included. The clients are sorted by name.
    """
    act.principal.require(Role.VIEWER)
    trusted_issuer = issuers.get(tx, act, trusted_issuer_id)
    its = clients.by_ids(tx, bindings.holders(tx, trusted_issuer, MOST)).values()
    after = [_without(client, lambda proof: proof.trusted_issuer_id == trusted_issuer.id) for client in its]
    stopped = still_granted(tx, its, act.now) - still_granted(tx, after, act.now)
    named = [Named(id=client.id, name=client.name) for client in its if client.id in stopped]
    return tuple(sorted(named, key=lambda client: (client.name, client.id)))


def of_key(tx: Tx, act: Act, kid: str) -> Impact:
    """Return the impact of revoking this signing key. Raises `NotFound`.

    All tokens that the key has signed end.
    """
    act.principal.require(Role.VIEWER)
    return _all_go_on(_of_tokens(tx, act, live_tokens.of_key(tx, act.now, keys.get(tx, act, kid).kid)))


def of_token(tx: Tx, act: Act, issued: Event) -> Impact:
    """Return the impact of revoking this token. `issued` is the audit event that recorded the token."""
    act.principal.require(Role.VIEWER)
    if issued.client is None or issued.expires_at is None or issued.expires_at <= act.now:
        return Impact()
    audiences = dict.fromkeys(issued.detail.get("audience") or (), issued.expires_at)
    return Impact(
        agents=(issued.client,),
        go_on=frozenset({issued.client.id}),
        live_tokens=1,
        last_expiry=issued.expires_at,
        apis=live_tokens.at_apis(tx, act.now, audiences, audiences),
    )


def of_api(tx: Tx, act: Act, api_id: str, terms: Terms) -> Impact:
    """Return the impact of deleting the API: `loses` are the delegations for its audience. Raises `NotFound`.

    No token is revoked.
    """
    audience = apis.get(tx, act, api_id).identifier
    by_default = audience == terms.default_audience
    loses = store.live_for(tx.connection, audience, by_default=by_default, limit=MOST + 1, now=act.now)
    return _ending(tx, act, terms, [], loses=loses)


def _all_go_on(what: Impact) -> Impact:
    """Mark all agents as able to get new tokens. Use this for a change that only ends tokens."""
    return replace(what, go_on=frozenset(each.id for each in what.agents))


def _live(held: Sequence[Delegation], now: datetime) -> list[Delegation]:
    return [delegation for delegation in held if state(delegation, now) is DelegationState.LIVE]


def _granting(
    tx: Tx, held: Sequence[Delegation], now: datetime, *, edited: RoleDefinition | None = None
) -> list[Delegation]:
    """Return the delegations by which their clients get tokens. `edited` is a role as it will be."""
    live = _live(held, now)
    known_clients = clients.by_ids(tx, {each.client_id for each in live})
    known_roles = roles.by_ids(tx, {each.role_id for each in live}) | ({edited.id: edited} if edited else {})
    return [
        each for each in live if grant_gap(known_clients[each.client_id], each, known_roles[each.role_id], now) is None
    ]


def still_granted(tx: Tx, found: Collection[Client], now: datetime) -> frozenset[str]:
    """Return the ids of these clients that get tokens, with the proofs that they have in `found`."""
    states = search.states_of(tx, found, now)
    return frozenset(id_ for id_, its in states.items() if its is ClientState.READY)


def _ending(
    tx: Tx,
    act: Act,
    terms: Terms,
    ending: Sequence[Delegation],
    *,
    out: Sequence[Delegation] = (),
    loses: Sequence[Delegation] = (),
    gains: Sequence[Delegation] = (),
    keeps: Sequence[Delegation] = (),
) -> Impact:
    """Return the impact of ending the delegations in `ending`.

    `out` are further delegations that may have unexpired tokens, even if they are not live.
    """
    every = (*ending, *out, *loses, *gains, *keeps)
    names = _names(tx, every, roles.by_ids(tx, {delegation.role_id for delegation in every}))
    agents = {delegation.client_id: names[delegation.client_id] for delegation in (*ending, *loses)}
    others = _granting(tx, store.of_clients(tx.connection, agents), act.now)
    ids = {delegation.id for delegation in (*ending, *out)}
    holders = {delegation.client_id for delegation in (*ending, *out)}
    tokens = live_tokens.of_clients(tx, act.now, holders, lambda each: not each.delegation_ids.isdisjoint(ids))
    audiences = {each for delegation in ending for each in delegation.audiences or (terms.default_audience,)}
    return Impact(
        agents=tuple(sorted(agents.values(), key=lambda agent: (agent.name, agent.id))),
        go_on=frozenset(delegation.client_id for delegation in others if delegation.id not in ids),
        delegations=tuple(names[delegation.id] for delegation in ending),
        live_tokens=tokens.live,
        last_expiry=tokens.last_expiry,
        apis=live_tokens.at_apis(tx, act.now, audiences | {*tokens.by_audience}, tokens.by_audience),
        loses=tuple(names[delegation.id] for delegation in loses),
        gains=tuple(names[delegation.id] for delegation in gains),
        keeps=tuple(names[delegation.id] for delegation in keeps),
        more=tokens.more or max(len(ending), len(loses), len(gains)) > MOST,
    )


def _of_proofs(tx: Tx, act: Act, client: Client, proof_ids: Collection[str]) -> Impact:
    tokens = live_tokens.of_clients(tx, act.now, [client.id], lambda each: each.proof_id in proof_ids)
    what = _of_tokens(tx, act, tokens, [Named(id=client.id, name=client.name)] if proof_ids else [])
    after = _without(client, lambda proof: proof.id in proof_ids)
    return replace(what, go_on=still_granted(tx, [after], act.now) if proof_ids else frozenset())


def _without(client: Client, removed: Callable[[Proof], bool]) -> Client:
    """Return the client without the removed proofs."""
    return replace(client, proofs=tuple(proof for proof in client.proofs if not removed(proof)))


def _of_tokens(tx: Tx, act: Act, tokens: LiveTokens, agents: Sequence[Named] = ()) -> Impact:
    return Impact(
        agents=tuple(agents) or tokens.agents,
        live_tokens=tokens.live,
        last_expiry=tokens.last_expiry,
        apis=live_tokens.at_apis(tx, act.now, {*tokens.by_audience}, tokens.by_audience),
        more=tokens.more,
    )


def _names(tx: Tx, held: Sequence[Delegation], known_roles: Mapping[str, RoleDefinition]) -> dict[str, Named]:
    """Return the display names of the clients and delegations, by id."""
    known_clients = clients.by_ids(tx, {delegation.client_id for delegation in held})
    names = {client.id: Named(id=client.id, name=client.name) for client in known_clients.values()}
    for delegation in held:
        name = title(known_roles[delegation.role_id].name, known_clients[delegation.client_id].name)
        names[delegation.id] = Named(id=delegation.id, name=name)
    return names
