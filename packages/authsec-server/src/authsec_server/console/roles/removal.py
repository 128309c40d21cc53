"""Delete a role that no live or disabled delegation uses. Its ended and revoked delegations are deleted, too."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import search as delegations
from authsec_server.delegations import service
from authsec_server.delegations.model import DelegationFilters, DelegationState
from authsec_server.failures import Conflict, Failure
from authsec_server.principal import Role
from authsec_server.roles import service as roles

IN_USE = (DelegationState.LIVE, DelegationState.DISABLED)
SHOWN = 20  # of each state


def routes(console: Console) -> list[BaseRoute]:
    """Return the route that deletes a role."""
    return [console.page("/roles/{role}/delete", ask, post=delete, least=Role.OPERATOR)]


async def ask(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show what is deleted with the role, or the delegations that prevent the deletion. Ask for confirmation."""

    def look(tx: Tx) -> dict[str, Any]:
        role = roles.get(tx, visit.act, visit.request.path_params["role"])
        in_use = [
            standing
            for state in IN_USE
            for standing in delegations.page(
                tx, visit.act, visit.console.terms, DelegationFilters(role_id=role.id, state=state), limit=SHOWN
            )[0]
        ]
        uses = delegations.using(tx, [role.id], visit.act.now)[role.id]
        return {"role": role, "in_use": in_use, "uses": uses}

    return visit.render("roles/delete.html", title="Delete this role?", problem=problem, **await visit.read(look))


async def delete(visit: PageRequest) -> Response:
    """Delete the role, unless a delegation uses it. Another person can have created one since the page was shown."""
    try:
        await visit.change(lambda tx, act: service.delete_role(tx, act, visit.request.path_params["role"]))
    except Conflict as failure:
        return await ask(visit, failure)
    return visit.redirect("/console/roles", done="role_deleted")
