"""Onboard a client, edit its description, disable, enable or delete it, or revoke its tokens.

No permission depends on the edited fields. Each of the other changes shows its impact and asks for confirmation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from starlette.responses import Response

from authsec_server.clients import service as clients
from authsec_server.console.clients.client_lookup import find_client, home, trail
from authsec_server.console.clients.forms import (
    TypedClient,
    at_field,
    parse_texts,
    stored_texts,
    typed_client,
    typed_texts,
)
from authsec_server.console.clients.listing import list_context
from authsec_server.console.clients.proofs import section_context, shown_secret
from authsec_server.console.confirm import Confirmation, Question, once, redirect_to
from authsec_server.console.forms import stored_meanwhile
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import impact, search, service
from authsec_server.delegations.effective import effective_actions
from authsec_server.failures import Conflict, Failure, Invalid, Outdated

ONBOARD_TITLE = "Onboard New Client"


async def onboard_form(visit: PageRequest) -> Response:
    """Show the empty dialog."""
    return await _dialog(visit, TypedClient())


async def onboard(visit: PageRequest) -> Response:
    """Onboard the client, or add a row to the form."""
    typed, domain = typed_client(visit.form), visit.console.settings.trust_domain
    if visit.form.ticked("add"):
        return await _dialog(visit, replace(typed, proof=typed.proof.with_row(visit.form.text("add"))))
    try:
        wanted = typed.onboarding()
        client = await visit.change(lambda tx, act: clients.create(tx, act, wanted, trust_domain=domain))
    except (Invalid, Conflict) as problem:
        return await _dialog(visit, typed, typed.at_field(problem))
    if client.fresh_secret:
        return shown_secret(visit, client)
    return visit.redirect(home(client), done="client_onboarded")


async def _dialog(visit: PageRequest, typed: TypedClient, problem: Invalid | Conflict | None = None) -> Response:
    return visit.render(
        "clients/onboard.html",
        title=ONBOARD_TITLE,
        problem=problem,
        typed=typed,
        **await section_context(visit, typed.proof, judged=problem is not None),
        **await list_context(visit),
    )


async def edit_form(
    visit: PageRequest, typed: Mapping[str, str] | None = None, problem: Failure | None = None
) -> Response:
    """Show the edit form with the typed values. If nothing was typed, show the stored values."""
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
        revision=visit.revision_of(client, problem),
    )


async def edit(visit: PageRequest) -> Response:
    """Save the typed values. If somebody else has changed the client since, show the form again.

    The form then shows the stored values beside the typed values.
    """
    typed, revision = typed_texts(visit.form), visit.form.number("revision")
    asked = visit.request.path_params["client"]
    try:
        wanted = parse_texts(typed)
        edited = await visit.change(lambda tx, act: clients.edit(tx, act, asked, revision=revision, changes=wanted))
    except (Invalid, Conflict) as problem:
        return await edit_form(visit, typed, at_field(problem))
    except Outdated as problem:
        return await edit_form(visit, typed, problem)
    return visit.saved(home(edited), edited, revision)


def _look(tx: Tx, visit: PageRequest) -> Question:
    client = find_client(tx, visit)
    act, terms = visit.act, visit.console.terms
    return Question(
        name=client.name,
        trail=trail(client),
        ids={"client": client.id},
        shown={
            "client": client,
            "stops": impact.of_client(tx, act, client.id, terms),
            "may": effective_actions(tx, act, client.id, terms),
            "delegations": search.of_client(tx, act, client.id, terms),
        },
    )


_HOME = "/console/clients/{client}"
_confirmation = partial(Confirmation, template="clients/ending.html", look=_look)
CONFIRMATIONS = (
    _confirmation(
        path="/clients/{client}/disable",
        heading="Disable {}?",
        button="Disable",
        change=once(lambda tx, act, visit: clients.disable(tx, act, visit.named("client"))),
        after=redirect_to(_HOME, done="client_disabled"),
    ),
    _confirmation(
        path="/clients/{client}/enable",
        heading="Enable {}?",
        button="Enable",
        danger=False,
        change=once(lambda tx, act, visit: clients.enable(tx, act, visit.named("client"))),
        after=redirect_to(_HOME, done="client_enabled"),
    ),
    _confirmation(
        path="/clients/{client}/revoke",
        heading="Revoke the tokens of {}?",
        button="Revoke tokens",
        change=once(lambda tx, act, visit: clients.revoke_tokens(tx, act, visit.named("client"))),
        after=redirect_to(_HOME, done="client_tokens_revoked"),
    ),
    _confirmation(
        path="/clients/{client}/delete",
        heading="Delete {}?",
        button="Delete",
        change=once(lambda tx, act, visit: service.delete_client(tx, act, visit.named("client"), visit.console.terms)),
        after=redirect_to("/console/clients", done="client_deleted"),
    ),
)
