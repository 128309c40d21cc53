"""The JSON of a role, in requests, documents and responses, and the admin API operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from pydantic import Field
from typing_extensions import TypedDict  # required by pydantic before Python 3.12

from authsec_server import naming
from authsec_server.db import Tx
from authsec_server.principal import Act
from authsec_server.revisions import plain
from authsec_server.roles import service
from authsec_server.roles.model import EDITABLE, RoleDefinition
from authsec_server.web.bodies import Body, Changes, changes_of
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, declared, operation
from authsec_server.web.paging import PAGING, Page, paged


class RoleDescription(TypedDict):
    """The fields that describe a role, in a response."""

    name: str
    description: str
    actions: list[str]


class RoleDescriptionBody(Body):
    """The fields that describe a role, in a request or a document."""

    name: str | None = Field(default=None, description="The name that people see; default: the slug.")
    description: str = ""
    actions: list[str] = Field(description="resource:action, e.g. customers:read")


@changes_of(RoleDescription)
class RoleChanges(Changes):
    """The editable fields of a role. Removing an action revokes the role's tokens."""


PATH = f"{API}/roles"
ONE = PATH + "/{role}"
Delete = Callable[[Tx, Act, str], RoleDefinition]


class NewRole(RoleDescriptionBody):
    """Request to create a role."""

    name: str
    slug: str | None = None


class RoleShown(RoleDescription):
    """A role as the admin API returns it."""

    id: str
    slug: str
    created_at: str
    revision: int
    changed_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleOperations:
    """The operations on roles.

    `delete_role` is a function of `delegations`, which can find the trust delegations with a role.
    """

    delete_role: Delete

    @operation("GET", PATH, "listRoles", query=PAGING)
    async def page(self, call: Call[NoBody]) -> Page[RoleShown]:
        """List roles by slug."""
        return await paged(call, naming.is_slug, service.page, as_json)

    @operation("POST", PATH, "createRole", status=201, location=PATH + "/{id}", revised=True)
    async def create(self, call: Call[NewRole]) -> RoleShown:
        """Create a role."""
        return as_json(await call.change(lambda tx, act: service.create(tx, act, **dict(call.body))))

    @operation("GET", ONE, "showRole", revised=True)
    async def show(self, call: Call[NoBody]) -> RoleShown:
        """Get a role."""
        return as_json(await call.read(lambda tx, act: service.get(tx, act, call.of("role"))))

    @operation("PATCH", ONE, "editRole", revised=True)
    async def edit(self, call: Call[RoleChanges]) -> RoleShown:
        """Edit a role."""

        def work(tx: Tx, act: Act) -> RoleDefinition:
            role = service.get(tx, act, call.of("role"))
            revision = call.matched(role, "This role")
            return service.edit(tx, act, role.id, revision=revision, changes=call.body.given())

        return as_json(await call.change(work))

    @operation("DELETE", ONE, "deleteRole", revised=True)
    async def delete(self, call: Call[NoBody]) -> RoleShown:
        """Delete a role that no trust delegation uses.

        The server refuses the deletion if a trust delegation with the role is live or disabled. Ended and revoked
        trust delegations are deleted with the role.
        """

        def work(tx: Tx, act: Act) -> RoleDefinition:
            role = service.get(tx, act, call.of("role"))
            call.matched(role, "This role")
            return self.delete_role(tx, act, role.id)

        return as_json(await call.change(work))


def operations(delete: Delete) -> list[AnyOperation]:
    """Return the operations on roles; see `RoleOperations`."""
    its = RoleOperations(delete_role=delete)
    return declared(its.page, its.create, its.show, its.edit, its.delete)


def as_json(role: RoleDefinition) -> RoleShown:
    """Return the role as the admin API shows it."""
    described = cast("RoleDescription", plain(EDITABLE, role))
    return {
        "id": role.id,
        "slug": role.slug,
        **described,
        "created_at": rfc3339(role.created_at),
        "revision": role.revision,
        "changed_at": rfc3339(role.changed_at),
    }
