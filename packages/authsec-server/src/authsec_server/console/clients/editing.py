"""Edit the description of a client: name, slug, owner, description, labels. No permission depends on these fields."""

from __future__ import annotations

from dataclasses import replace

from starlette.responses import Response

from authsec_server.clients import service
from authsec_server.console.clients.forms import TypedDetails, at_field, stored_details, typed_details
from authsec_server.console.clients.found import found, home
from authsec_server.console.site import PageRequest
from authsec_server.failures import Conflict, Invalid, Outdated


async def form(visit: PageRequest) -> Response:
    """Show the edit form with the stored values."""
    return await _form(visit, None)


async def edit(visit: PageRequest) -> Response:
    """Save the typed values. If somebody else has changed the client since, show the stored values beside them."""
    typed = typed_details(visit.form)
    asked = visit.request.path_params["client"]
    try:
        wanted = typed.changes()
        edited = await visit.change(
            lambda tx, act: service.edit(tx, act, asked, revision=typed.revision, changes=wanted)
        )
    except (Invalid, Conflict) as problem:
        return await _form(visit, typed, at_field(problem))
    except Outdated as problem:
        return await _form(visit, typed, problem)
    return visit.redirect(home(edited), done="saved" if edited.revision > typed.revision else "unchanged")


async def _form(
    visit: PageRequest, typed: TypedDetails | None, problem: Invalid | Conflict | Outdated | None = None
) -> Response:
    client = await visit.read(lambda tx: found(tx, visit))
    now_is = stored_details(client)
    outdated = isinstance(problem, Outdated)
    # Who has been told what it is now may save: the next one to be told is who comes after them.
    shown = now_is if typed is None else replace(typed, revision=now_is.revision) if outdated else typed
    return visit.render(
        "clients/edit.html",
        title=f"Edit {client.name}",
        problem=problem,
        client=client,
        typed=shown,
        now_is=now_is if outdated else None,
    )
