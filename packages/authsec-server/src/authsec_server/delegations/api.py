"""Admin API operations for trust delegations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from authsec_server import naming
from authsec_server.db import Tx
from authsec_server.delegations import editing, search, service
from authsec_server.delegations.model import (
    DelegationFilters,
    DelegationSort,
    DelegationState,
    ResolvedDelegation,
    TargetType,
    Terms,
)
from authsec_server.delegations.resolve import client_called, role_called
from authsec_server.delegations.shapes import DelegationChanges, NewDelegation
from authsec_server.delegations.views import DelegationShown, as_json
from authsec_server.principal import Act
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, Parameter, declared, operation
from authsec_server.web.paging import PAGING, Page, paged
from authsec_server.web.params import one_of, read_one_of

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
    one_of("sort", "The order: newest first (default), oldest first, or next to expire first.", DelegationSort),
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


def operations(terms: Terms) -> list[AnyOperation]:
    """Return the operations on trust delegations; see `DelegationOperations`."""
    its = DelegationOperations(terms=terms)
    return declared(its.page, its.create, its.show, its.edit, its.disable, its.enable, its.revoke)


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
