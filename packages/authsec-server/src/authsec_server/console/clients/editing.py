"""Edit the description of a client. No permission depends on the edited fields."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from authsec_server.clients import service
from authsec_server.console.clients.client_lookup import find_client, home
from authsec_server.console.clients.forms import at_field, parse_texts, stored_texts, typed_texts
from authsec_server.console.edit_form import revision_of, saved, stored_meanwhile
from authsec_server.console.site import PageRequest
from authsec_server.failures import Conflict, Failure, Invalid, Outdated


async def form(visit: PageRequest) -> Response:
    """Show the edit form with the stored values."""
    return await _form(visit)


async def edit(visit: PageRequest) -> Response:
    """Save the typed values. If somebody else has changed the client since, show the form again.

    The form then shows the stored values beside the typed values.
    """
    typed, revision = typed_texts(visit.form), visit.form.number("revision")
    asked = visit.request.path_params["client"]
    try:
        wanted = parse_texts(typed)
        edited = await visit.change(lambda tx, act: service.edit(tx, act, asked, revision=revision, changes=wanted))
    except (Invalid, Conflict) as problem:
        return await _form(visit, typed, at_field(problem))
    except Outdated as problem:
        return await _form(visit, typed, problem)
    return saved(visit, home(edited), edited, revision)


async def _form(visit: PageRequest, typed: Mapping[str, str] | None = None, problem: Failure | None = None) -> Response:
    """Show the form with the typed values. If nothing was typed, show the stored values."""
    client = await visit.read(lambda tx: find_client(tx, visit))
    stored = stored_texts(client)
    typed = stored if typed is None else typed
    return visit.render(
        "clients/edit.html",
        title=f"Edit {client.name}",
        problem=problem,
        client=client,
        texts=typed,
        known=stored_meanwhile(problem, stored, typed),
        revision=revision_of(visit, client, problem),
    )
