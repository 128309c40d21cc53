"""The verbs of trust delegations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from authsec_server import naming
from authsec_server.apis import service as apis
from authsec_server.apis.model import parse_identifier
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.db import Tx
from authsec_server.delegations import proposal as rules
from authsec_server.delegations import store
from authsec_server.delegations.cautions import cautions, repeated
from authsec_server.delegations.model import OVER, Delegation, DelegationState, Proposal, Standing, Terms, state, title
from authsec_server.failures import Conflict, Invalid, NotFound
from authsec_server.principal import Act, Role
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from authsec_server.roles import service as roles
from authsec_server.roles.model import RoleDefinition


def create(tx: Tx, act: Act, proposal: Proposal, terms: Terms) -> Standing:
    """Delegate. Raises `Invalid`, naming what is wrong."""
    act.principal.require(Role.OPERATOR)
    role, client = _role(tx, proposal.role), _client(tx, proposal.client)
    delegation = Delegation(
        id=act.new_id(),
        role_id=role.id,
        client_id=client.id,
        target_type=rules.target_type(proposal.target_type),
        actions=rules.allowed_actions(proposal, role),
        max_duration=rules.max_duration(proposal.max_duration, terms.max_token_lifetime),
        audiences=rules.audiences(_audience(tx, *numbered) for numbered in enumerate(proposal.audiences)),
        excluded_proofs=rules.excluded_proofs(proposal.excluded_proofs),
        ends_at=rules.end(proposal.ends_at, act.now),
        owner=act.principal.name if proposal.owner is None else naming.name("owner", proposal.owner),
        description=naming.text("description", proposal.description),
        created_at=act.now,
    )
    repeats = repeated(delegation, store.of_client(tx.connection, client.id), act.now)
    store.add(tx.connection, delegation)
    standing = _standing(tx, [delegation], terms, act.now)[0]
    _record(tx, act, EventKind.DELEGATION_CREATED, standing, **_as_granted(delegation))
    return replace(standing, cautions=(*standing.cautions, *repeats))


def get(tx: Tx, act: Act, delegation_id: str, terms: Terms) -> Standing:
    """The delegation. Raises `NotFound`."""
    act.principal.require(Role.VIEWER)
    return _standing(tx, [_delegation(tx, delegation_id)], terms, act.now)[0]


def page(tx: Tx, act: Act, terms: Terms, *, after: str = "", limit: int = 50) -> tuple[list[Standing], str | None]:
    """Delegations, the newest first, from the first behind the id `after`; and where the next page begins."""
    act.principal.require(Role.VIEWER)
    last = store.find(tx.connection, after) if after else None
    if after and last is None:
        raise Invalid("cursor", "This cursor is not one that a list gave out.", "Use `next` of the page before.")
    found = store.page(tx.connection, after=last, limit=limit + 1)
    return _standing(tx, found[:limit], terms, act.now), found[limit - 1].id if len(found) > limit else None


def disable(tx: Tx, act: Act, delegation_id: str, terms: Terms) -> Standing:
    """Turn the delegation off and end its tokens. What is off already, or revoked, stays as it is."""
    act.principal.require(Role.OPERATOR)
    standing = get(tx, act, delegation_id, terms)
    if not standing.delegation.enabled or standing.state is DelegationState.REVOKED:
        return standing
    store.set_enabled(tx.connection, delegation_id, False)
    revocations.end(tx, SubjectKind.DELEGATION, delegation_id, act.now)
    _record(tx, act, EventKind.DELEGATION_DISABLED, standing)
    return get(tx, act, delegation_id, terms)


def enable(tx: Tx, act: Act, delegation_id: str, terms: Terms) -> Standing:
    """Turn the delegation on again; tokens that ended stay ended. Raises `Conflict` where it is over for good."""
    act.principal.require(Role.OPERATOR)
    standing = get(tx, act, delegation_id, terms)
    if standing.state in OVER:
        raise Conflict(
            f"This delegation is {standing.state}, and that is for good.", "Create a new delegation instead."
        )
    if standing.delegation.enabled:
        return standing
    store.set_enabled(tx.connection, delegation_id, True)
    _record(tx, act, EventKind.DELEGATION_ENABLED, standing)
    return get(tx, act, delegation_id, terms)


def revoke(tx: Tx, act: Act, delegation_id: str, terms: Terms) -> Standing:
    """End the delegation for good, and its tokens. What is revoked already stays as it is."""
    act.principal.require(Role.OPERATOR)
    standing = get(tx, act, delegation_id, terms)
    if standing.state is DelegationState.REVOKED:
        return standing
    store.set_revoked(tx.connection, delegation_id, act.now)
    revocations.end(tx, SubjectKind.DELEGATION, delegation_id, act.now)
    _record(tx, act, EventKind.DELEGATION_REVOKED, standing)
    return get(tx, act, delegation_id, terms)


def of_client(tx: Tx, client_id: str) -> list[tuple[Delegation, RoleDefinition]]:
    """All of the client's delegations, whatever their state, each with its role as it is now.

    Two statements, however many there are. Asks for no principal: for the token path.
    """
    held = store.of_client(tx.connection, client_id)
    known = roles.by_ids(tx, {delegation.role_id for delegation in held}) if held else {}
    return [(delegation, known[delegation.role_id]) for delegation in held]


def _delegation(tx: Tx, delegation_id: str) -> Delegation:
    found = store.find(tx.connection, delegation_id) if naming.is_uuid(delegation_id) else None
    if found is None:
        raise NotFound(
            f"There is no delegation {naming.quoted(delegation_id)}.", "See the list: authsec delegations list"
        )
    return found


def _role(tx: Tx, id_or_slug: str) -> RoleDefinition:
    found = roles.find(tx, id_or_slug)
    if found is None:
        raise Invalid(
            "role",
            f"There is no role {naming.quoted(id_or_slug)}.",
            "Give a role's slug or id: authsec roles list",
        )
    return found


def _client(tx: Tx, id_or_slug: str) -> Client:
    found = clients.find(tx, id_or_slug)
    if found is None:
        raise Invalid(
            "client",
            f"There is no client {naming.quoted(id_or_slug)}.",
            "Give a client's slug or client_id: authsec agents list",
        )
    return found


def _audience(tx: Tx, index: int, text: str) -> str:
    return apis.resolve(tx, text) or parse_identifier(text, field=f"audiences.{index}")


def _standing(tx: Tx, held: Sequence[Delegation], terms: Terms, now: datetime) -> list[Standing]:
    """The delegations with all that belongs to them, in as many statements for a page as for one."""
    known_roles = roles.by_ids(tx, {delegation.role_id for delegation in held})
    known_clients = clients.by_ids(tx, {delegation.client_id for delegation in held})
    described, registered = apis.described(tx), apis.identifiers(tx)
    return [
        Standing(
            delegation=delegation,
            role=known_roles[delegation.role_id],
            client=known_clients[delegation.client_id],
            state=state(delegation, now),
            cautions=cautions(
                delegation,
                known_clients[delegation.client_id],
                described=described,
                registered=registered,
                default_audience=terms.default_audience,
                now=now,
            ),
        )
        for delegation in held
    ]


def _record(tx: Tx, act: Act, kind: EventKind, standing: Standing, **detail: object) -> None:
    role, client = standing.role, standing.client
    audit.record_act(
        tx,
        act,
        kind,
        client=Named(id=client.id, name=client.name),
        roles=(Named(id=role.id, name=role.name),),
        delegations=(Named(id=standing.delegation.id, name=title(role.name, client.name)),),
        detail=detail,
    )


def _as_granted(delegation: Delegation) -> dict[str, object]:
    return {
        "target_type": delegation.target_type,
        "actions": list(delegation.actions),
        "max_duration": delegation.max_duration,
        "audiences": list(delegation.audiences),
        "excluded_proofs": list(delegation.excluded_proofs),
        "ends_at": None if delegation.ends_at is None else delegation.ends_at.isoformat(),
    }
