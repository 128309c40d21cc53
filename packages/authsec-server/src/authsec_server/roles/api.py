"""Admin API operations for roles."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from authsec_server import naming
from authsec_server.db import Tx
from authsec_server.principal import Act, Role
from authsec_server.revisions import plain
from authsec_server.roles import service
from authsec_server.roles.model import EDITABLE, RoleDefinition
from authsec_server.roles.shapes import RoleChanges, RoleDescription, RoleDescriptionBody
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, Operation
from authsec_server.web.paging import PAGING, Page, paged

PATH = f"{API}/roles"
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


def operations(delete: Delete) -> list[AnyOperation]:
    """Return the operations for roles. `delete` comes from a higher package, which can find the uses of a role."""

    async def remove(call: Call[NoBody]) -> RoleShown:
        def work(tx: Tx, act: Act) -> RoleDefinition:
            role = service.get(tx, act, call.of("role"))
            call.matched(role, "This role")
            return delete(tx, act, role.id)

        return as_json(await call.change(work))

    return [
        Operation(
            method="GET",
            path=PATH,
            operation_id="listRoles",
            summary="List roles by slug",
            query=PAGING,
            handler=_page,
            answer=Page[RoleShown],
        ),
        Operation(
            method="POST",
            path=PATH,
            operation_id="createRole",
            summary="Create a role",
            least=Role.OPERATOR,
            body=NewRole,
            handler=_create,
            answer=RoleShown,
            status=201,
            location=PATH + "/{id}",
            revised=True,
        ),
        Operation(
            method="GET",
            path=PATH + "/{role}",
            operation_id="showRole",
            summary="Get a role",
            handler=_show,
            answer=RoleShown,
            revised=True,
        ),
        Operation(
            method="PATCH",
            path=PATH + "/{role}",
            operation_id="editRole",
            summary="Edit a role",
            least=Role.OPERATOR,
            body=RoleChanges,
            handler=_edit,
            answer=RoleShown,
            revised=True,
        ),
        Operation(
            method="DELETE",
            path=PATH + "/{role}",
            operation_id="deleteRole",
            summary="Delete a role that no trust delegation uses",
            description="What has ended or was revoked goes with it; while one is live or disabled it is refused.",
            least=Role.OPERATOR,
            handler=remove,
            answer=RoleShown,
            revised=True,
        ),
    ]


async def _page(call: Call[NoBody]) -> Page[RoleShown]:
    return await paged(call, naming.is_slug, service.page, as_json)


async def _create(call: Call[NewRole]) -> RoleShown:
    return as_json(await call.change(lambda tx, act: service.create(tx, act, **dict(call.body))))


async def _show(call: Call[NoBody]) -> RoleShown:
    return as_json(await call.read(lambda tx, act: service.get(tx, act, call.of("role"))))


async def _edit(call: Call[RoleChanges]) -> RoleShown:
    def work(tx: Tx, act: Act) -> RoleDefinition:
        role = service.get(tx, act, call.of("role"))
        revision = call.matched(role, "This role")
        return service.edit(tx, act, role.id, revision=revision, changes=call.body.given())

    return as_json(await call.change(work))


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
