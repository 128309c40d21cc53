"""The JSON of a trust delegation, in requests, documents and responses, and the admin API operations.

Two operations revoke all delegations that one administrator or one admin key granted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from pydantic import Field
from typing_extensions import TypedDict  # required by pydantic before Python 3.12

from authsec_server import naming
from authsec_server.accounts import admin_keys, administrators
from authsec_server.clients.model import ProofKind
from authsec_server.db import Tx
from authsec_server.delegations import editing, search, service
from authsec_server.delegations.grants import Grantor, grants_of, of_admin_key, of_administrator, revoke_grants_of
from authsec_server.delegations.model import (
    DESCRIBED,
    DelegationFilters,
    DelegationSort,
    DelegationState,
    Proposal,
    ResolvedDelegation,
    TargetType,
    Terms,
)
from authsec_server.delegations.resolve import client_called, resolve_all, role_called
from authsec_server.principal import Act, Role
from authsec_server.revisions import plain
from authsec_server.web.bodies import LEFT_OUT, Body, Changes, changes_of
from authsec_server.web.instants import parse_instant, rfc3339
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, Parameter, declared, operation
from authsec_server.web.paging import PAGING, Page, one_of, paged, read_one_of


class DelegationDescription(TypedDict):
    """The fields that describe a delegation, as an answer contains them."""

    owner: str
    description: str


class DelegationBody(Body):
    """The optional fields of a delegation, as a request or document contains them."""

    audiences: list[str] = Field(default_factory=list, description="The APIs, each by its slug or its audience.")
    excluded_proofs: list[str] = Field(default_factory=list)
    require_dpop: bool = Field(default=False, description="Issue only tokens that are bound to a key (DPoP, RFC 9449).")
    ends_at: str | None = Field(default=None, description="RFC 3339, e.g. 2026-12-31T18:00:00Z")
    owner: str | None = Field(
        default=None,
        description="If omitted, an edit keeps the owner. A new delegation then belongs to the person who creates it.",
    )
    description: str = ""


class NewDelegation(DelegationBody):
    """Request to create a trust delegation; see `Proposal`. `ends_at` is RFC 3339, `max_duration` in seconds."""

    role: str
    client: str
    target_type: str
    max_duration: int
    actions: list[str] = Field(default_factory=list)
    all_actions: bool = False
    slug: str | None = None

    def proposal(self) -> Proposal:
        """Return the request as a `Proposal`."""
        return Proposal(**_read(dict(self)))


@changes_of(DelegationDescription)
class DelegationChanges(Changes):
    """Request to edit a trust delegation. An edit that narrows the delegation revokes its tokens.

    Send at most one of `actions` and `all_actions`. If `ends_at` is null, the edit removes the end date.
    """

    slug: str = LEFT_OUT
    target_type: str = LEFT_OUT
    max_duration: int = LEFT_OUT
    actions: list[str] = LEFT_OUT
    all_actions: bool = LEFT_OUT
    audiences: list[str] = LEFT_OUT
    excluded_proofs: list[str] = LEFT_OUT
    require_dpop: bool = LEFT_OUT
    ends_at: str | None = LEFT_OUT

    def changes(self) -> dict[str, Any]:
        """Return the members that the request contains, as unverified values."""
        return _read(self.given())


def _read(members: dict[str, Any]) -> dict[str, Any]:
    """Convert the members: `ends_at` becomes a time, and lists become tuples. Raises `Invalid`."""
    if members.get("ends_at") is not None:
        members["ends_at"] = parse_instant("ends_at", members["ends_at"])
    return {name: tuple(value) if isinstance(value, list) else value for name, value in members.items()}


class ItsRole(TypedDict):
    """The role of a delegation."""

    id: str
    slug: str
    name: str


class ItsClient(TypedDict):
    """The client of a delegation."""

    id: str
    slug: str
    name: str
    unattested: bool


class Warned(TypedDict):
    """A warning for the person who delegates: a stable code, and a sentence."""

    code: str
    message: str


class DelegationShown(DelegationDescription):
    """A delegation with its role and client. `slug` is null if a later delegation has taken the slug."""

    id: str
    slug: str | None
    role: ItsRole
    client: ItsClient
    target_type: TargetType
    actions: list[str]
    max_duration: int
    audiences: list[str]
    excluded_proofs: list[ProofKind]
    require_dpop: bool
    ends_at: str | None
    state: DelegationState
    revoked_at: str | None
    created_at: str
    revision: int
    changed_at: str | None
    changed_by: str | None
    warnings: list[Warned]


def as_json(resolved: ResolvedDelegation, now: datetime) -> DelegationShown:
    """Return the delegation as the admin API shows it."""
    delegation, role, client = resolved.delegation, resolved.role, resolved.client
    described = cast("DelegationDescription", plain(DESCRIBED, delegation))
    return {
        "id": delegation.id,
        "slug": delegation.slug or None,
        "role": {"id": role.id, "slug": role.slug, "name": role.name},
        "client": {
            "id": client.id,
            "slug": client.slug,
            "name": client.name,
            "unattested": client.unattested(now),
        },
        "target_type": delegation.target_type,
        "actions": list(delegation.actions),
        "max_duration": delegation.max_duration,
        "audiences": list(delegation.audiences),
        "excluded_proofs": list(delegation.excluded_proofs),
        "require_dpop": delegation.require_dpop,
        "ends_at": rfc3339(delegation.ends_at),
        "state": resolved.state,
        "revoked_at": rfc3339(delegation.revoked_at),
        **described,
        "created_at": rfc3339(delegation.created_at),
        "revision": delegation.revision,
        "changed_at": rfc3339(delegation.changed_at),
        "changed_by": delegation.changed_by or None,
        "warnings": [{"code": each.code, "message": each.message} for each in resolved.cautions],
    }


PATH = f"{API}/delegations"
ONE = PATH + "/{delegation}"
Verb = Callable[[Tx, Act, str, Terms], ResolvedDelegation]
FILTERS = (
    Parameter(
        name="text",
        description="Only delegations with this text in their slug, or in the name or slug of the role or client. "
        "Or the beginning of a delegation's id.",
    ),
    Parameter(name="role", description="Only delegations of this role, by id or slug."),
    Parameter(name="client", description="Only delegations to this client, by client_id or slug."),
    one_of("state", "Only delegations in this state.", DelegationState),
    one_of("target_type", "Only delegations for this target type.", TargetType),
    Parameter(name="audience", description="Only delegations that name this audience."),
    Parameter(name="owner", description="Only delegations of this owner. Give the whole name."),
    one_of("sort", "The order: newest first (default), oldest first, or earliest end date first.", DelegationSort),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationOperations:
    """The operations on trust delegations. `terms` are the settings that apply to every delegation."""

    terms: Terms

    @operation("GET", PATH, "listDelegations", query=(*FILTERS, *PAGING))
    async def page(self, call: Call[NoBody]) -> Page[DelegationShown]:
        """List trust delegations."""
        sort = read_one_of(call.request, "sort", DelegationSort) or DelegationSort.NEWEST

        def load(tx: Tx, act: Act, /, *, after: str, limit: int) -> tuple[list[ResolvedDelegation], str | None]:
            return search.page(tx, act, self.terms, _filters(tx, call), sort=sort, after=after, limit=limit)

        return await paged(call, naming.is_uuid, load, lambda resolved: as_json(resolved, call.act.now))

    @operation("POST", PATH, "createDelegation", status=201, location=PATH + "/{id}", revised=True)
    async def create(self, call: Call[NewDelegation]) -> DelegationShown:
        """Create a trust delegation."""
        proposal = call.body.proposal()
        resolved = await call.change(lambda tx, act: service.create(tx, act, proposal, self.terms))
        return as_json(resolved, call.act.now)

    @operation("GET", ONE, "showDelegation", revised=True)
    async def show(self, call: Call[NoBody]) -> DelegationShown:
        """Get a trust delegation."""
        its = call.of("delegation")
        return as_json(await call.read(lambda tx, act: service.get(tx, act, its, self.terms)), call.act.now)

    @operation("PATCH", ONE, "editDelegation", revised=True)
    async def edit(self, call: Call[DelegationChanges]) -> DelegationShown:
        """Edit a trust delegation.

        An edit that narrows the delegation revokes its tokens. The role and the client cannot be changed. A
        delegation that has ended or was revoked cannot be edited.
        """

        def work(tx: Tx, act: Act) -> ResolvedDelegation:
            its = service.get(tx, act, call.of("delegation"), self.terms).delegation
            revision = call.matched(its, "This delegation")
            return editing.edit(tx, act, its.id, call.body.changes(), self.terms, revision=revision)

        return as_json(await call.change(work), call.act.now)

    @operation("POST", ONE + "/disable", "disableDelegation", revised=True)
    async def disable(self, call: Call[NoBody]) -> DelegationShown:
        """Disable a trust delegation, and revoke its tokens."""
        return await self._apply(call, service.disable)

    @operation("POST", ONE + "/enable", "enableDelegation", revised=True)
    async def enable(self, call: Call[NoBody]) -> DelegationShown:
        """Enable a trust delegation.

        Revoked tokens stay revoked.
        """
        return await self._apply(call, service.enable)

    @operation("POST", ONE + "/revoke", "revokeDelegation", revised=True)
    async def revoke(self, call: Call[NoBody]) -> DelegationShown:
        """Revoke a trust delegation permanently, and revoke its tokens."""
        return await self._apply(call, service.revoke)

    async def _apply(self, call: Call[NoBody], verb: Verb) -> DelegationShown:
        its = call.of("delegation")
        return as_json(await call.change(lambda tx, act: verb(tx, act, its, self.terms)), call.act.now)

    @operation(
        "POST", f"{API}/administrators/{{administrator}}/revoke-grants", "revokeGrantsOfAdministrator", least=Role.ADMIN
    )
    async def revoke_of_administrator(self, call: Call[Asked]) -> GrantsRevoked:
        """Revoke permanently all trust delegations that an administrator granted.

        Trust delegations that somebody else has changed since are revoked only if `also_changed_since` is true.
        """
        whose = call.of("administrator")
        return await self._revoke_grants(call, lambda tx, act: of_administrator(administrators.get(tx, act, whose)))

    @operation("POST", f"{API}/admin-keys/{{key}}/revoke-grants", "revokeGrantsOfAdminKey", least=Role.ADMIN)
    async def revoke_of_admin_key(self, call: Call[Asked]) -> GrantsRevoked:
        """Revoke permanently all trust delegations that an admin key granted.

        Trust delegations that somebody else has changed since are revoked only if `also_changed_since` is true.
        """
        whose = call.of("key")
        return await self._revoke_grants(call, lambda tx, act: of_admin_key(admin_keys.get(tx, act, whose)))

    async def _revoke_grants(self, call: Call[Asked], find: Find) -> GrantsRevoked:
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
    """Return the operations on trust delegations; see `DelegationOperations`."""
    its = DelegationOperations(terms=terms)
    return declared(
        its.page,
        its.create,
        its.show,
        its.edit,
        its.disable,
        its.enable,
        its.revoke,
        its.revoke_of_administrator,
        its.revoke_of_admin_key,
    )


def _filters(tx: Tx, call: Call[NoBody]) -> DelegationFilters:
    """Read the filters from the query. Raises `Invalid`, for example for an unknown role or client."""
    role, client = call.query("role"), call.query("client")
    return DelegationFilters(
        text=call.query("text") or "",
        state=read_one_of(call.request, "state", DelegationState),
        role_id=None if role is None else role_called(tx, role).id,
        client_id=None if client is None else client_called(tx, client).id,
        target_type=read_one_of(call.request, "target_type", TargetType),
        audience=call.query("audience"),
        owner=call.query("owner") or "",
    )


Find = Callable[[Tx, Act], Grantor]


class Asked(Body):
    """Request body. `also_changed_since` also revokes the delegations that somebody else has changed since."""

    also_changed_since: bool = False


class GrantsRevoked(TypedDict):
    """The revoked delegations. `changed_since` were kept, because somebody else has changed them since."""

    revoked: list[DelegationShown]
    changed_since: list[DelegationShown]
