"""Admin API operations for trust delegations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from authsec_server import naming
from authsec_server.db import Tx
from authsec_server.delegations import editing, search, service
from authsec_server.delegations.model import (
    DelegationFilters,
    DelegationSort,
    DelegationState,
    Standing,
    TargetType,
    Terms,
)
from authsec_server.delegations.resolve import client_called, role_called
from authsec_server.delegations.shapes import DelegationChanges, NewDelegation
from authsec_server.delegations.shown import DelegationShown, as_json
from authsec_server.principal import Act, Role
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, Operation, Parameter
from authsec_server.web.paging import PAGING, Page, paged
from authsec_server.web.params import one_of, read_one_of

PATH = f"{API}/delegations"
Verb = Callable[[Tx, Act, str, Terms], Standing]
FILTERS = (
    Parameter(
        name="text", description="Part of its slug, of the role's or the client's name or slug; how its id begins."
    ),
    Parameter(name="role", description="Of this role, by id or slug."),
    Parameter(name="client", description="To this client, by client_id or slug."),
    one_of("state", "What it is now.", DelegationState),
    one_of("target_type", "For this kind of program.", TargetType),
    Parameter(name="audience", description="It names this audience."),
    Parameter(name="owner", description="Whose it is; the whole name."),
    one_of(
        "sort", "The order: the newest first (so unless this is given), the oldest, or what ends first.", DelegationSort
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegations:
    """The handlers for trust delegations, with the settings that they need."""

    terms: Terms

    async def page(self, call: Call[NoBody]) -> Page[DelegationShown]:
        """List the delegations that match the filters."""
        sort = read_one_of(call.request, "sort", DelegationSort) or DelegationSort.NEWEST

        def load(tx: Tx, act: Act, /, *, after: str, limit: int) -> tuple[list[Standing], str | None]:
            return search.page(tx, act, self.terms, _filters(tx, call), sort=sort, after=after, limit=limit)

        return await paged(call, naming.is_uuid, load, lambda standing: as_json(standing, call.act.now))

    async def create(self, call: Call[NewDelegation]) -> DelegationShown:
        """Create a delegation."""
        proposal = call.body.proposal()
        standing = await call.change(lambda tx, act: service.create(tx, act, proposal, self.terms))
        return as_json(standing, call.act.now)

    async def show(self, call: Call[NoBody]) -> DelegationShown:
        """Show one delegation."""
        its = call.of("delegation")
        return as_json(await call.read(lambda tx, act: service.get(tx, act, its, self.terms)), call.act.now)

    async def edit(self, call: Call[DelegationChanges]) -> DelegationShown:
        """Edit the members that the request contains."""

        def work(tx: Tx, act: Act) -> Standing:
            its = service.get(tx, act, call.of("delegation"), self.terms).delegation
            revision = call.matched(its, "This delegation")
            return editing.edit(tx, act, its.id, call.body.changes(), self.terms, revision=revision)

        return as_json(await call.change(work), call.act.now)

    def turning(self, verb: Verb) -> Callable[[Call[NoBody]], Awaitable[DelegationShown]]:
        """Return a handler that applies `verb` to the delegation."""

        async def turn(call: Call[NoBody]) -> DelegationShown:
            its = call.of("delegation")
            return as_json(await call.change(lambda tx, act: verb(tx, act, its, self.terms)), call.act.now)

        return turn


def operations(terms: Terms) -> list[AnyOperation]:
    """Return the operations for trust delegations; see `Delegations`."""
    its = Delegations(terms=terms)
    return [
        Operation(
            method="GET",
            path=PATH,
            operation_id="listDelegations",
            summary="List trust delegations",
            query=(*FILTERS, *PAGING),
            handler=its.page,
            answer=Page[DelegationShown],
        ),
        Operation(
            method="POST",
            path=PATH,
            operation_id="createDelegation",
            summary="Create a trust delegation",
            least=Role.OPERATOR,
            body=NewDelegation,
            handler=its.create,
            answer=DelegationShown,
            status=201,
            location=PATH + "/{id}",
            revised=True,
        ),
        Operation(
            method="GET",
            path=PATH + "/{delegation}",
            operation_id="showDelegation",
            summary="Get a trust delegation",
            handler=its.show,
            answer=DelegationShown,
            revised=True,
        ),
        Operation(
            method="PATCH",
            path=PATH + "/{delegation}",
            operation_id="editDelegation",
            summary="Edit a trust delegation; narrowing it revokes its tokens",
            description="Its role and client are fixed. What has ended or was revoked is not edited.",
            least=Role.OPERATOR,
            body=DelegationChanges,
            handler=its.edit,
            answer=DelegationShown,
            revised=True,
        ),
        *_turns(its),
    ]


def _turns(its: Delegations) -> list[AnyOperation]:
    turns: tuple[tuple[str, str, Verb], ...] = (
        ("disable", "Turn a trust delegation off, and end its tokens", service.disable),
        ("enable", "Turn a trust delegation on again; what has ended stays ended", service.enable),
        ("revoke", "End a trust delegation for good, and its tokens", service.revoke),
    )
    return [
        Operation(
            method="POST",
            path=f"{PATH}/{{delegation}}/{word}",
            operation_id=f"{word}Delegation",
            summary=summary,
            least=Role.OPERATOR,
            handler=its.turning(verb),
            answer=DelegationShown,
            revised=True,
        )
        for word, summary, verb in turns
    ]


def _filters(tx: Tx, call: Call[NoBody]) -> DelegationFilters:
    """Read the filters from the query. Raises `Invalid`, also for an unknown role or client."""
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
