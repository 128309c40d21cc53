"""Find delegations, load their current roles and clients, and record them in the audit log by name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import select

from authsec_server import naming
from authsec_server.apis import service as apis
from authsec_server.apis.model import parse_identifier
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.db import Tx
from authsec_server.db.matching import in_batches
from authsec_server.delegations import store
from authsec_server.delegations.model import Caution, Delegation, ResolvedDelegation, Terms, state, title
from authsec_server.delegations.validation import dormant, misspelt, named_before_apis, resource_needed, warnings
from authsec_server.failures import Invalid, NotFound
from authsec_server.principal import Act
from authsec_server.roles import service as roles
from authsec_server.roles.model import RoleDefinition
from authsec_server.suggest import nearest


def by_slugs(tx: Tx, slugs: Collection[str]) -> dict[str, Delegation]:
    """Return the delegations with these slugs, in any state, by slug. Unknown slugs are left out.

    The function does not check the role of a principal.
    """
    found: dict[str, Delegation] = {}
    for some in in_batches(sorted(filter(naming.is_slug, slugs))):
        called = select(store.delegations).where(store.delegations.c.slug.in_(some))
        found |= {each.slug: each for each in store.load(tx.connection, called)}
    return found


def number_of_clients(tx: Tx, client_ids: Collection[str], now: datetime) -> dict[str, int]:
    """Return the number of delegations of each client, in any state. Clients without delegations are left out.

    The function does not check the role of a principal.
    """
    found: dict[str, int] = {}
    for some in in_batches(sorted(client_ids)):
        uses = store.uses_by_client(tx.connection, some, now)
        found |= {client_id: its.live + its.disabled + its.over for client_id, its in uses.items()}
    return found


_TOLD = 8  # delegations in a message

LoadedDelegation = tuple[Delegation, RoleDefinition, Client]
"""A delegation with its role and its client."""


def stored(tx: Tx, id_or_slug: str) -> Delegation:
    """Return the delegation with this id or slug. Raises `NotFound`."""
    is_form_valid = naming.is_uuid(id_or_slug) or naming.is_slug(id_or_slug)
    found = store.find(tx.connection, id_or_slug) if is_form_valid else None
    if found is None:
        raise NotFound(f"There is no delegation {naming.quoted(id_or_slug)}.", which(tx, id_or_slug))
    return found


def which(tx: Tx, asked: str) -> str:
    """Return a hint for an unknown delegation name, such as a similar slug.

    The function does not check the role of a principal. The callers check the role.
    """
    if client := clients.find(tx, asked):
        return _delegations_of(tx, client)

    def near(slug: str) -> list[str]:
        """Return similar slugs. Slugs of revoked delegations are returned only if no other slug is similar."""
        slugs = store.slugs_near(tx.connection, slug)
        live = [each.slug for each in by_slugs(tx, slugs).values() if each.revoked_at is None]
        return live if nearest(slug, live) else slugs

    return naming.meant(asked, near, "See the list: authsec delegations list")


def _delegations_of(tx: Tx, client: Client) -> str:
    """Return a hint if the caller gave an agent's name instead of a delegation's name.

    The hint lists all delegations of the agent that are not revoked. No delegation is more likely than another.
    """
    held = [each for each in store.of_client(tx.connection, client.id) if each.revoked_at is None and each.slug]
    told = [f"{each.slug} ({', '.join(each.audiences) or 'the shared default'})" for each in held[:_TOLD]]
    more = f" and {len(held) - _TOLD} more" if len(held) > _TOLD else ""
    its = f"Its trust delegations: {', '.join(told)}{more}." if told else "It has no trust delegation."
    return f"That is the agent {client.name}. {its}"


def resolve_all(tx: Tx, held: Sequence[Delegation], terms: Terms, now: datetime) -> list[ResolvedDelegation]:
    """Return the delegations with role, client and cautions.

    The number of SQL statements is the same for many delegations as for one.
    """
    if not held:
        return []
    known_roles = roles.by_ids(tx, {delegation.role_id for delegation in held})
    known_clients = clients.by_ids(tx, {delegation.client_id for delegation in held})
    loaded = [(each, known_roles[each.role_id], known_clients[each.client_id]) for each in held]
    return resolve_loaded(tx, loaded, terms, now)


def resolve_loaded(tx: Tx, loaded: Sequence[LoadedDelegation], terms: Terms, now: datetime) -> list[ResolvedDelegation]:
    """Return the delegations with role, client and cautions. `loaded` has the roles and clients."""
    described = apis.described(tx, among={action for its, _, _ in loaded for action in its.actions})
    audiences = {audience for its, _, _ in loaded for audience in its.audiences}
    registered, algorithms = apis.identifiers(tx, among=audiences), apis.algorithms(tx, audiences)
    return [
        ResolvedDelegation(
            delegation=delegation,
            role=role,
            client=client,
            state=state(delegation, now),
            cautions=(
                *dormant(delegation, role, client, now),
                *warnings(
                    delegation,
                    client,
                    described=described,
                    registered=registered,
                    algorithms=algorithms,
                    default_audience=terms.default_audience,
                    now=now,
                ),
            ),
        )
        for delegation, role, client in loaded
    ]


def load_parties(tx: Tx, id_or_slug: str) -> LoadedDelegation:
    """Return the delegation with this id or slug, its role and its client. Raises `NotFound`."""
    found = stored(tx, id_or_slug)
    role, client = roles.by_ids(tx, [found.role_id]), clients.by_ids(tx, [found.client_id])
    return found, role[found.role_id], client[found.client_id]


def with_state(resolved: ResolvedDelegation, delegation: Delegation, now: datetime) -> ResolvedDelegation:
    """Return the delegation after it was disabled or enabled, with its new state.

    `resolved` is the delegation before. Its role, client and cautions do not change.
    """
    return replace(resolved, delegation=delegation, state=state(delegation, now))


def role_called(tx: Tx, id_or_slug: str) -> RoleDefinition:
    """Return the role with this id or slug. If no such role exists, raises `Invalid` with the field `role`."""
    found = roles.find(tx, id_or_slug)
    if found is None:
        raise Invalid("role", f"There is no role {naming.quoted(id_or_slug)}.", roles.which(tx, id_or_slug))
    return found


def client_called(tx: Tx, id_or_slug: str) -> Client:
    """Return the client with this id or slug. If no such client exists, raises `Invalid` with the field `client`."""
    found = clients.find(tx, id_or_slug)
    if found is None:
        raise Invalid("client", clients.not_found_message(id_or_slug), clients.which(tx, id_or_slug))
    return found


def audience(tx: Tx, index: int, text: str) -> str:
    """Return the audience of the API with this slug or identifier.

    If no such API is registered, the text itself is the audience, which is permitted.
    """
    return apis.resolve(tx, text) or parse_identifier(text, field=f"audiences.{index}")


def misspelt_audiences(tx: Tx, audiences: Collection[str], terms: Terms) -> tuple[Caution, ...]:
    """Return a caution for each unknown audience that is similar to the slug of an API.

    If no API is registered at all, return a caution for unknown audiences that are not URLs.
    """
    unknown = sorted(set(audiences) - apis.identifiers(tx, among=audiences) - {terms.default_audience})
    if unknown and not apis.is_any_registered(tx):
        return named_before_apis([audience for audience in unknown if "://" not in audience])
    return misspelt({audience: near for audience in unknown if (near := apis.near(tx, audience))})


def with_resource_caution(
    tx: Tx, resolved: ResolvedDelegation, before: Delegation | None, terms: Terms, now: datetime
) -> ResolvedDelegation:
    """Return the delegation after a change, with a caution if token requests must then name a resource.

    `before` is the delegation before the change, or None for a new one. It may be stored already.
    """
    held = store.of_client(tx.connection, resolved.client.id)
    others = [each for each in held if each.id != resolved.delegation.id]
    earlier = [] if before is None else [before]
    audience, after = terms.default_audience, [*others, resolved.delegation]
    found = resource_needed(resolved.client, [*others, *earlier], after, audience, now)
    return replace(resolved, cautions=(*found, *resolved.cautions))


def named(delegation: Delegation, role: RoleDefinition, client: Client) -> Named:
    """Return the delegation's id and name for the audit log and lists."""
    return Named(id=delegation.id, name=title(role.name, client.name))


def record(tx: Tx, act: Act, kind: EventKind, resolved: ResolvedDelegation, **detail: object) -> None:
    """Record an action on the delegation in the audit log."""
    role, client = resolved.role, resolved.client
    audit.record_act(
        tx,
        act,
        kind,
        client=Named(id=client.id, name=client.name),
        roles=(Named(id=role.id, name=role.name),),
        delegations=(named(resolved.delegation, role, client),),
        detail=detail,
    )
