"""Add a proof to a client, or remove one."""

from __future__ import annotations

from starlette.responses import Response

from authsec_server.clients import held_proofs
from authsec_server.clients.model import NewProof
from authsec_server.clients.proof_status import removal_caution
from authsec_server.console.clients import secret
from authsec_server.console.clients.client_lookup import find_client, home, trail
from authsec_server.console.clients.detail import held
from authsec_server.console.clients.forms import TypedProof, at_field, typed_proof
from authsec_server.console.clients.onboarding import section_context
from authsec_server.console.confirm import Confirmation, Question, once, redirect_to
from authsec_server.console.delegations.typed import instant
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import impact
from authsec_server.failures import Conflict, Invalid, NotFound


async def blank(visit: PageRequest) -> Response:
    """Show the empty form."""
    return await _form(visit, TypedProof(), "")


async def add(visit: PageRequest) -> Response:
    """Add the proof, or add a row to the form."""
    typed, expires = typed_proof(visit.form), visit.form.text("expires_at")
    if visit.form.ticked("add"):
        return await _form(visit, typed.with_row(visit.form.text("add")), expires)
    asked, domain = visit.named("client"), visit.console.settings.trust_domain
    try:
        wanted = _new_proof(typed, expires)
        client = await visit.change(lambda tx, act: held_proofs.add_proof(tx, act, asked, wanted, trust_domain=domain))
    except (Invalid, Conflict) as problem:
        return await _form(visit, typed, expires, at_field(problem))
    return secret.shown(visit, client) if client.fresh_secret else visit.redirect(home(client), done="proof_added")


def _new_proof(typed: TypedProof, expires: str) -> NewProof:
    try:
        expires_at = instant(expires)
    except Invalid as problem:
        raise Invalid("expires_at", problem.message, problem.remedy) from None
    return NewProof(
        platform=typed.chosen(),
        selectors=typed.selectors,
        public_key=typed.asked_key,
        trusted_issuer=typed.trusted_issuer,
        expires_at=expires_at,
    )


async def _form(
    visit: PageRequest, typed: TypedProof, expires: str, problem: Invalid | Conflict | None = None
) -> Response:
    client = await visit.read(lambda tx: find_client(tx, visit))
    return visit.render(
        "clients/add_proof.html",
        title="Add a proof",
        problem=problem,
        client=client,
        typed=typed,
        expires=expires,
        **await section_context(visit, typed, judged=problem is not None),
    )


def _look(tx: Tx, visit: PageRequest) -> Question:
    client, proof_id = find_client(tx, visit), visit.named("proof")
    for each in held(tx, client, visit.act.now, visit.console.settings.trust_domain):
        if each.proof.id == proof_id:
            return Question(
                trail=trail(client),
                ids={"client": client.id},
                shown={
                    "client": client,
                    "held": each,
                    "stops": impact.of_proof(tx, visit.act, client.id, proof_id),
                    "caution": removal_caution(client, each.proof, visit.act.now),
                },
            )
    raise NotFound(f"{client.name} does not have this proof.", "See the client's page for its current proofs.")


REMOVE = Confirmation(
    path="/clients/{client}/proofs/{proof}/remove",
    template="clients/remove_proof.html",
    heading="Remove this proof?",
    button="Remove proof",
    look=_look,
    change=once(lambda tx, act, visit: held_proofs.remove_proof(tx, act, visit.named("client"), visit.named("proof"))),
    after=redirect_to("/console/clients/{client}", done="proof_removed"),
)
