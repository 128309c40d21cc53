"""Create, disable, enable and revoke trust delegations. Delete clients and roles together with their delegations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count

from authsec_server import naming
from authsec_server.apis import service as apis
from authsec_server.audit.model import EventKind, Named, repeat_detail
from authsec_server.clients import service
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.db import Tx
from authsec_server.db.matching import in_batches
from authsec_server.delegations import store
from authsec_server.delegations import validation as rules
from authsec_server.delegations.model import (
    DESCRIBED,
    ENDED_STATES,
    MAX_DELEGATIONS,
    Delegation,
    DelegationState,
    Proposal,
    ResolvedDelegation,
    Terms,
    as_granted,
    live_twin,
    state,
)
from authsec_server.delegations.resolve import (
    audience,
    by_slugs,
    client_called,
    load_parties,
    misspelt_audiences,
    named,
    record,
    resolve_all,
    resolve_loaded,
    role_called,
    stored,
    with_resource_caution,
    with_state,
)
from authsec_server.delegations.validation import repeated
from authsec_server.failures import Conflict, FailureList
from authsec_server.principal import Act, Role
from authsec_server.revisions import changed, checked, edit_detail
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from authsec_server.roles import service as roles
from authsec_server.roles.model import RoleDefinition


def create(tx: Tx, act: Act, proposal: Proposal, terms: Terms) -> ResolvedDelegation:
    """Create a delegation. Raises `Invalid`, which names the wrong field.

    Raises `Conflict` in three cases: an identical delegation is live, another delegation has the slug, or the
    client has too many delegations.
    """
    act.principal.require(Role.OPERATOR)
    role, client = _parties(tx, proposal)
    delegation = _checked(tx, act, proposal, terms, role, client, delegation_id=act.new_id())
    held = store.of_client(tx.connection, delegation.client_id)
    if twin := live_twin(delegation, held, act.now):
        raise Conflict(
            f"The same trust delegation already exists: {twin.slug or twin.id}. Nothing was created.",
            "Use that trust delegation, or revoke that trust delegation before you create a new one.",
        )
    _refuse_too_many(client, held, act.now)
    repeats = repeated(delegation, held, act.now)
    take_slug(tx, act, delegation.slug, terms, taker=delegation.id)
    store.add(tx.connection, delegation)
    resolved = resolve_loaded(tx, [(delegation, role, client)], terms, act.now)[0]
    resolved = with_resource_caution(tx, resolved, None, terms, act.now)
    described = {"slug": delegation.slug, "owner": delegation.owner, "description": delegation.description}
    record(tx, act, EventKind.DELEGATION_CREATED, resolved, **described, **as_granted(delegation))
    doubts = misspelt_audiences(tx, delegation.audiences, terms)
    return replace(resolved, cautions=(*resolved.cautions, *doubts, *repeats))


def propose(tx: Tx, act: Act, proposal: Proposal, terms: Terms, *, delegation_id: str) -> ResolvedDelegation:
    """Return the delegation as `create` would make it, with all cautions. Nothing is stored.

    Raises the same errors as `create`, except for an identical live delegation; for this, see `live_twin`.
    `delegation_id` is a placeholder for the future id: any text that is not an id.
    """
    act.principal.require(Role.VIEWER)
    role, client = _parties(tx, proposal)
    delegation = _checked(tx, act, proposal, terms, role, client, delegation_id=delegation_id)
    held = store.of_client(tx.connection, delegation.client_id)
    _refuse_too_many(client, held, act.now)
    repeats = repeated(delegation, held, act.now)
    resolved = resolve_loaded(tx, [(delegation, role, client)], terms, act.now)[0]
    resolved = with_resource_caution(tx, resolved, None, terms, act.now)
    doubts = misspelt_audiences(tx, delegation.audiences, terms)
    return replace(resolved, cautions=(*resolved.cautions, *doubts, *repeats))


def get(tx: Tx, act: Act, id_or_slug: str, terms: Terms) -> ResolvedDelegation:
    """Return the delegation with this id or slug. Raises `NotFound`."""
    act.principal.require(Role.VIEWER)
    return resolve_all(tx, [stored(tx, id_or_slug)], terms, act.now)[0]


def disable(tx: Tx, act: Act, id_or_slug: str, terms: Terms) -> ResolvedDelegation:
    """Disable the delegation and revoke its tokens, whatever its row says, as in `clients.service.disable`."""
    act.principal.require(Role.OPERATOR)
    resolved = get(tx, act, id_or_slug, terms)
    ended = not resolved.delegation.enabled or resolved.state is DelegationState.REVOKED
    disabled = changed(resolved.delegation, act, is_repeat=ended, enabled=False)
    store.save(tx.connection, disabled)
    revocations.end(tx, SubjectKind.DELEGATION, disabled.id, act.now)
    record(tx, act, EventKind.DELEGATION_DISABLED, resolved, **repeat_detail(is_repeat=ended))
    return with_state(resolved, disabled, act.now)


def enable(tx: Tx, act: Act, id_or_slug: str, terms: Terms) -> ResolvedDelegation:
    """Enable the delegation. Its revoked tokens stay revoked.

    Raises `Conflict` if the delegation has ended or was revoked.
    """
    act.principal.require(Role.OPERATOR)
    resolved = get(tx, act, id_or_slug, terms)
    if resolved.state in ENDED_STATES:
        raise Conflict(
            f"This delegation is {resolved.state}, which cannot be undone.", "Create a new delegation instead."
        )
    if resolved.delegation.enabled:
        return resolved
    enabled = changed(resolved.delegation, act, enabled=True)
    store.save(tx.connection, enabled)
    record(tx, act, EventKind.DELEGATION_ENABLED, resolved)
    return with_resource_caution(tx, with_state(resolved, enabled, act.now), resolved.delegation, terms, act.now)


def propose_enabling(tx: Tx, act: Act, id_or_slug: str, terms: Terms) -> ResolvedDelegation:
    """Return the delegation with the cautions about enabling it, as `enable` would. Nothing is stored."""
    resolved = get(tx, act, id_or_slug, terms)
    enabled = with_state(resolved, replace(resolved.delegation, enabled=True), act.now)
    cautions = with_resource_caution(tx, enabled, resolved.delegation, terms, act.now).cautions
    return replace(resolved, cautions=cautions)


def revoke(
    tx: Tx,
    act: Act,
    id_or_slug: str,
    terms: Terms,  # noqa: ARG001 - the same signature as `disable` and `enable`
    *,
    because: str = "",
) -> ResolvedDelegation:
    """Revoke the delegation permanently, and revoke its tokens, and record that, whatever its row says.

    The attack: raw SQL marks the row as revoked until an operator has revoked the delegation, and removes the mark.
    `verify` compares the row with the recorded act (`audit.sealing.row_states`). A repeat leaves the row as it is.
    """
    act.principal.require(Role.OPERATOR)
    held, role, client = load_parties(tx, id_or_slug)
    is_repeat = held.revoked_at is not None
    revoked = held if is_repeat else changed(held, act, revoked_at=act.now)
    over = ResolvedDelegation(delegation=revoked, role=role, client=client, state=DelegationState.REVOKED, cautions=())
    if not is_repeat:
        store.save(tx.connection, revoked)
    revocations.end(tx, SubjectKind.DELEGATION, revoked.id, act.now)
    detail = repeat_detail(is_repeat=is_repeat) | ({"because": because} if because else {})
    record(tx, act, EventKind.DELEGATION_REVOKED, over, **detail)
    return over


def client_of(tx: Tx, delegation_id: str) -> str | None:
    """Return the id of the delegation's client, or None if the delegation is unknown.

    The function does not check the role of a principal. The callers check the role.
    """
    found = store.find(tx.connection, delegation_id)
    return found.client_id if found else None


def of_client(tx: Tx, client_id: str) -> list[tuple[Delegation, RoleDefinition]]:
    """Return the client's delegations, in any state, each with its current role.

    This function does not check the role of a principal.
    """
    return of_clients(tx, [client_id])[client_id]


def of_clients(tx: Tx, client_ids: Collection[str]) -> dict[str, list[tuple[Delegation, RoleDefinition]]]:
    """Map each of these clients to its delegations, as `of_client` returns them.

    Token requests use this function, which does not check the role of a principal. At most two SQL statements
    are executed. A delegation whose role is missing gives nothing, so it is left out. The attack: raw SQL on SQLite
    inserts such a delegation, so that all token requests of the client end with an error.
    """
    held = store.of_clients(tx.connection, client_ids) if client_ids else []
    known = roles.by_ids(tx, {delegation.role_id for delegation in held}) if held else {}
    found: dict[str, list[tuple[Delegation, RoleDefinition]]] = {client_id: [] for client_id in client_ids}
    for delegation in held:
        if role := known.get(delegation.role_id):
            found[delegation.client_id].append((delegation, role))
    return found


def _refuse_too_many(client: Client, held: Iterable[Delegation], now: datetime) -> None:
    there = sum(state(each, now) not in ENDED_STATES for each in held)
    if there >= MAX_DELEGATIONS:
        raise Conflict(
            f"{client.name} has {there:,} trust delegations that are live or disabled. The limit is "
            f"{MAX_DELEGATIONS:,} for each client.",
            "Revoke unneeded trust delegations, or delegate one role that combines the actions of several roles.",
        )


def _only_api(tx: Tx, audiences: Sequence[str]) -> str:
    """Return the slug of the API if there is only one audience, and an API is registered for it.

    Otherwise return "".
    """
    if len(audiences) != 1:
        return ""
    found = apis.by_identifiers(tx, audiences)
    return found[audiences[0]].slug if found else ""


def _parties(tx: Tx, proposal: Proposal) -> tuple[RoleDefinition, Client]:
    """Return the role and the client of the proposal. Raises `Invalid`."""
    problems = FailureList()
    with problems.collect():
        role = role_called(tx, proposal.role)
    with problems.collect():
        client = client_called(tx, proposal.client)
    problems.raise_all()
    return role, client


def _checked(
    tx: Tx, act: Act, proposal: Proposal, terms: Terms, role: RoleDefinition, client: Client, *, delegation_id: str
) -> Delegation:
    fields = {**rules.granted_fields(role, terms, act.now, all_actions=proposal.all_actions), **DESCRIBED}
    given = {name: getattr(proposal, name) for name in fields}
    if proposal.owner is None:
        given["owner"] = act.principal.name
    problems = FailureList()
    with problems.collect():
        given["audiences"] = rules.audiences(audience(tx, *numbered) for numbered in enumerate(proposal.audiences))
    with problems.collect():
        valid = checked(fields, given)
    problems.raise_all()
    return Delegation(
        id=delegation_id,
        slug=(
            offered_slug(tx, act, client=client.slug, role=role.slug, api=_only_api(tx, valid["audiences"]))
            if proposal.slug is None
            else chosen_slug(tx, act, proposal.slug)
        ),
        role_id=role.id,
        client_id=client.id,
        **valid,
        created_at=act.now,
    )


_LONGEST = 63
_AT_ONCE = 20  # slugs in one query: many queries would keep the authority lock for long


def chosen_slug(tx: Tx, act: Act, given: str) -> str:
    """Return the slug that the caller chose. Raises `Invalid`.

    Raises `Conflict` if a live or disabled delegation has the slug.
    """
    slug = naming.slug("slug", given)
    if held := _holder_of_slug(tx, act, slug):
        raise Conflict(
            f"The slug {slug} already belongs to the trust delegation {held.id}.",
            "Choose another slug, or revoke that trust delegation first.",
            field="slug",
        )
    return slug


def offered_slug(tx: Tx, act: Act, *, client: str, role: str, api: str = "") -> str:
    """Make a free slug from the slugs of the client and the role. Use this if the caller chose no slug.

    `api` is the slug of the delegation's only API.
    """
    return made_slug(client, role, lambda slugs: _free_slug(tx, act, slugs), api=api)


def made_slug(client: str, role: str, free: Callable[[Sequence[str]], Iterable[str]], *, api: str = "") -> str:
    """Return the first free slug made from client, role and `api`. The function is pure.

    If the slugs without a number are taken, the slug ends with a number. `free` gets some slugs and returns
    the free slugs among them.
    """
    series = in_batches(filter(naming.is_slug, _series(f"{client}-{role}", api)), _AT_ONCE)
    return next(slug for some in series for slug in free(some))


def take_slug(tx: Tx, act: Act, slug: str, terms: Terms, *, taker: str) -> None:
    """Remove the slug from the ended or revoked delegation that has it.

    `taker` is the id of the delegation that gets the slug. Call this before that delegation is stored.
    """
    held = store.find(tx.connection, slug)
    if held is None:
        return
    without = changed(held, act, slug="")
    store.save(tx.connection, without)
    detail = edit_detail(without.revision, {"slug": slug}, {"slug": None}) | {"because": f"gave up its slug to {taker}"}
    record(tx, act, EventKind.DELEGATION_EDITED, resolve_all(tx, [held], terms, act.now)[0], **detail, ended=[])


def _holder_of_slug(tx: Tx, act: Act, slug: str) -> Delegation | None:
    """Return the live or disabled delegation that has the slug.

    An ended or revoked delegation is not returned, because another delegation may take its slug.
    """
    found = store.find(tx.connection, slug)
    return None if found is None or state(found, act.now) in ENDED_STATES else found


def _free_slug(tx: Tx, act: Act, slugs: Sequence[str]) -> list[str]:
    """Return the slugs of the list that a new delegation can use."""
    known = by_slugs(tx, slugs)
    return [slug for slug in slugs if slug not in known or state(known[slug], act.now) in ENDED_STATES]


def _series(stem: str, api: str) -> Iterator[str]:
    yield stem[:_LONGEST].rstrip("-")
    if api and len(f"{stem}-{api}") <= _LONGEST:
        stem = f"{stem}-{api}"
        yield stem
    for number in count(2):
        yield f"{stem[: _LONGEST - len(f'-{number}')].rstrip('-')}-{number}"


_MOST_SHOWN = 5  # delegations named in a message


def delete_client(tx: Tx, act: Act, client_id: str, terms: Terms) -> Client:
    """Delete the client with its proofs and delegations, and revoke all its tokens. Raises `NotFound`."""
    act.principal.require(Role.OPERATOR)
    client = clients.get(tx, act, client_id)
    held = resolve_all(tx, store.of_client(tx.connection, client.id), terms, act.now)
    for resolved in held:
        if resolved.state not in ENDED_STATES:
            revocations.end(tx, SubjectKind.DELEGATION, resolved.delegation.id, act.now)
            record(tx, act, EventKind.DELEGATION_REVOKED, resolved, because="its client was deleted")
    store.remove_of_client(tx.connection, client.id)
    gone = tuple(named(resolved.delegation, resolved.role, client) for resolved in held)
    service.delete(tx, act, client, delegations=gone)
    return client


def delete_role(tx: Tx, act: Act, role_id: str) -> RoleDefinition:
    """Delete the role and its ended and revoked delegations. Raises `NotFound`.

    Raises `Conflict` if the role has a live or disabled delegation. An administrator must first revoke each such
    delegation.
    """
    act.principal.require(Role.OPERATOR)
    role = roles.get(tx, act, role_id)
    held = store.of_role(tx.connection, role.id)
    known = clients.by_ids(tx, {delegation.client_id for delegation in held})
    names = {delegation.id: named(delegation, role, known[delegation.client_id]) for delegation in held}
    if in_use := [delegation for delegation in held if state(delegation, act.now) not in ENDED_STATES]:
        raise _used(role, [names[delegation.id] for delegation in in_use])
    store.remove_of_role(tx.connection, role.id)
    roles.remove(tx, act, role, delegations=tuple(names.values()))
    return role


def _used(role: RoleDefinition, in_use: list[Named]) -> Conflict:
    listed = ", ".join(f"{each.name} ({each.id})" for each in in_use[:_MOST_SHOWN])
    more = len(in_use) - _MOST_SHOWN
    count = "One trust delegation uses" if len(in_use) == 1 else f"{len(in_use)} trust delegations use"
    return Conflict(
        f"{count} the role {role.name!r}: {listed}{f' and {more} more' if more > 0 else ''}.",
        "Revoke these trust delegations first. Expired and revoked delegations are deleted with the role.",
    )
