"""The list of roles, and one role."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.console.site import Console, Visit
from authsec_server.roles import service as roles

PAGE = 50


def routes(console: Console) -> list[BaseRoute]:
    """The pages of this noun."""
    return [console.page("/roles", listing), console.page("/roles/{role}", detail)]


async def listing(visit: Visit) -> Response:
    """All roles, by name."""
    after = visit.query.text("cursor")
    found, following = await visit.read(lambda tx: roles.page(tx, visit.act, after=after, limit=PAGE))
    return visit.render("roles/list.html", title="Roles & Actions", roles=found, cursor=after, following=following)


async def detail(visit: Visit) -> Response:
    """One role."""
    role = await visit.read(lambda tx: roles.get(tx, visit.act, visit.request.path_params["role"]))
    return visit.render("roles/detail.html", title=role.name, role=role)
