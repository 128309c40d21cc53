"""The verbs of trust delegations: delegating, turning off and on, revoking. To edit: `editing`; lists: `listing`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from authsec_server import naming
from authsec_server.apis import service as apis
from authsec_server.audit.model import EventKind
from authsec_server.clients.model import Client
from authsec_server.db import Tx
from authsec_server.delegations import proposal as rules
from authsec_server.delegations import slugs, store
from authsec_server.delegations.cautions import repeated
from authsec_server.delegations.model import (
    MAX_DELEGATIONS,
    OVER,
    Delegation,
    DelegationState,
    Proposal,
    Standing,
    Terms,
    live_twin,
    state,
)
from authsec_server.delegations.standing import (
    as_granted,
    audience,
    client_called,
    misspelt_audiences,
    parties,
    record,
    role_called,
    standings,
    stored,
    tied,
    turned,
)
from authsec_server.failures import Conflict
from authsec_server.principal import Act, Role
from authsec_server.revisions import changed
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from authsec_server.roles import service as roles
from authsec_server.roles.model import RoleDefinition


def create(tx: Tx, act: Act, proposal: Proposal, terms: Terms) -> Standing:
    """Delegate. Raises `Invalid`, naming what is wrong.

    Raises `Conflict` where the very same is live already, another has the slug, or the client has too many.
    """
    act.principal.require(Role.OPERATOR)
    role, client = role_called(tx, proposal.role), client_called(tx, proposal.client)
    delegation = _checked(tx, act, proposal, terms, role, client, delegation_id=act.new_id())
    held = store.of_client(tx.connection, delegation.client_id)
    if twin := live_twin(delegation, held, act.now):
        raise Conflict(
            f"The same trust delegation is live already: {twin.slug or twin.id}. Nothing was created.",
            "Use that one; or revoke it first, if there is to be a new one.",
        )
    _refuse_too_many(client, held, act.now)
    repeats = repeated(delegation, held, act.now)
    slugs.take(tx, act, delegation.slug, terms)
    store.add(tx.connection, delegation)
    standing = tied(tx, [(delegation, role, client)], terms, act.now)[0]
    record(tx, act, EventKind.DELEGATION_CREATED, standing, slug=delegation.slug, **as_granted(delegation))
    doubts = misspelt_audiences(tx, delegation.audiences, terms)
    return replace(standing, cautions=(*standing.cautions, *doubts, *repeats))


def propose(tx: Tx, act: Act, proposal: Proposal, terms: Terms, *, delegation_id: str) -> Standing:
    """What `create` would make of it, with all its cautions; nothing is stored. Raises as that does.

    But what is live already is no obstacle here: see `live_twin`.
    `delegation_id` stands where the id will be; it can be any text that is no id.
    """
    act.principal.require(Role.VIEWER)
    role, client = role_called(tx, proposal.role), client_called(tx, proposal.client)
    delegation = _checked(tx, act, proposal, terms, role, client, delegation_id=delegation_id)
    held = store.of_client(tx.connection, delegation.client_id)
    _refuse_too_many(client, held, act.now)
    repeats = repeated(delegation, held, act.now)
    standing = tied(tx, [(delegation, role, client)], terms, act.now)[0]
    doubts = misspelt_audiences(tx, delegation.audiences, terms)
    return replace(standing, cautions=(*standing.cautions, *doubts, *repeats))


def get(tx: Tx, act: Act, id_or_slug: str, terms: Terms) -> Standing:
    """The delegation, by its id or slug. Raises `NotFound`."""
    act.principal.require(Role.VIEWER)
    return standings(tx, [stored(tx, id_or_slug)], terms, act.now)[0]


def disable(tx: Tx, act: Act, id_or_slug: str, terms: Terms) -> Standing:
    """Turn the delegation off and end its tokens. What is off already, or revoked, stays as it is."""
    act.principal.require(Role.OPERATOR)
    standing = get(tx, act, id_or_slug, terms)
    if not standing.delegation.enabled or standing.state is DelegationState.REVOKED:
        return standing
    disabled = changed(standing.delegation, act, enabled=False)
    store.save(tx.connection, disabled)
    revocations.end(tx, SubjectKind.DELEGATION, disabled.id, act.now)
    record(tx, act, EventKind.DELEGATION_DISABLED, standing)
    return turned(standing, disabled, act.now)


def enable(tx: Tx, act: Act, id_or_slug: str, terms: Terms) -> Standing:
    """Turn the delegation on again; tokens that ended stay ended. Raises `Conflict` where it is over for good."""
    act.principal.require(Role.OPERATOR)
    standing = get(tx, act, id_or_slug, terms)
    if standing.state in OVER:
        raise Conflict(
            f"This delegation is {standing.state}, and that is for good.", "Create a new delegation instead."
        )
    if standing.delegation.enabled:
        return standing
    enabled = changed(standing.delegation, act, enabled=True)
    store.save(tx.connection, enabled)
    record(tx, act, EventKind.DELEGATION_ENABLED, standing)
    return turned(standing, enabled, act.now)


def revoke(
    tx: Tx,
    act: Act,
    id_or_slug: str,
    terms: Terms,  # noqa: ARG001 - of use to its neighbours: callers pick one of the three
    *,
    because: str = "",
) -> Standing:
    """End the delegation for good, and its tokens. What is revoked already stays as it is."""
    act.principal.require(Role.OPERATOR)
    held, role, client = parties(tx, id_or_slug)
    revoked = changed(held, act, revoked_at=act.now) if held.revoked_at is None else held
    over = Standing(delegation=revoked, role=role, client=client, state=DelegationState.REVOKED, cautions=())
    if revoked is held:
        return over
    store.save(tx.connection, revoked)
    revocations.end(tx, SubjectKind.DELEGATION, revoked.id, act.now)
    record(tx, act, EventKind.DELEGATION_REVOKED, over, **({"because": because} if because else {}))
    return over


def client_of(tx: Tx, delegation_id: str) -> str | None:
    """The id of the client that it delegates to. Asks for no principal: for the rooms above."""
    found = store.find(tx.connection, delegation_id)
    return found.client_id if found else None


def of_client(tx: Tx, client_id: str) -> list[tuple[Delegation, RoleDefinition]]:
    """All of the client's delegations, whatever their state, each with its role as it is now.

    Two statements, however many there are. Asks for no principal: for the token path.
    """
    held = store.of_client(tx.connection, client_id)
    known = roles.by_ids(tx, {delegation.role_id for delegation in held}) if held else {}
    return [(delegation, known[delegation.role_id]) for delegation in held]


def _refuse_too_many(client: Client, held: Iterable[Delegation], now: datetime) -> None:
    there = sum(state(each, now) not in OVER for each in held)
    if there >= MAX_DELEGATIONS:
        raise Conflict(
            f"{client.name} has {there:,} trust delegations that are live or disabled. One client has"
            f" {MAX_DELEGATIONS:,} at most.",
            "Revoke some that are not needed; or delegate one role that has the actions of several.",
        )


def _only_api(tx: Tx, audiences: Sequence[str]) -> str:
    """The slug of the one registered API that these audiences name; empty for none and for several."""
    if len(audiences) != 1:
        return ""
    found = apis.by_identifiers(tx, audiences)
    return found[audiences[0]].slug if found else ""


def _checked(
    tx: Tx, act: Act, proposal: Proposal, terms: Terms, role: RoleDefinition, client: Client, *, delegation_id: str
) -> Delegation:
    audiences = rules.audiences(audience(tx, *numbered) for numbered in enumerate(proposal.audiences))
    return Delegation(
        id=delegation_id,
        slug=(
            slugs.offered(tx, act, client=client.slug, role=role.slug, api=_only_api(tx, audiences))
            if proposal.slug is None
            else slugs.chosen(tx, act, proposal.slug)
        ),
        role_id=role.id,
        client_id=client.id,
        target_type=rules.target_type(proposal.target_type),
        actions=rules.allowed_actions(proposal, role),
        max_duration=rules.max_duration(proposal.max_duration, terms.max_token_lifetime),
        audiences=audiences,
        excluded_proofs=rules.excluded_proofs(proposal.excluded_proofs),
        ends_at=rules.end(proposal.ends_at, act.now),
        owner=act.principal.name if proposal.owner is None else naming.name("owner", proposal.owner),
        description=naming.text("description", proposal.description),
        created_at=act.now,
    )
