"""Add a proof to a client, or remove one."""

from __future__ import annotations

from starlette.responses import Response

from authsec_server.clients import held_proofs
from authsec_server.clients.model import Client, NewProof
from authsec_server.clients.proof_status import removal_caution
from authsec_server.console.clients import secret
from authsec_server.console.clients.detail import HeldProof, held
from authsec_server.console.clients.forms import TypedProof, at_field, typed_proof
from authsec_server.console.clients.found import found, home
from authsec_server.console.clients.onboarding import section_context
from authsec_server.console.delegations.typed import instant
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import consequences
from authsec_server.delegations.consequences import Consequences
from authsec_server.failures import Conflict, Invalid, NotFound


async def blank(visit: PageRequest) -> Response:
    """Show the empty form."""
    return await _form(visit, TypedProof(), "")


async def add(visit: PageRequest) -> Response:
    """Add the proof, or add a row to the form."""
    typed, expires = typed_proof(visit.form), visit.form.text("expires_at")
    if visit.form.ticked("add"):
        return await _form(visit, typed.with_row(visit.form.text("add")), expires)
    asked, domain = visit.request.path_params["client"], visit.console.settings.trust_domain
    try:
        wanted = _new_proof(typed, expires)
        client = await visit.change(lambda tx, act: held_proofs.add_proof(tx, act, asked, wanted, trust_domain=domain))
    except (Invalid, Conflict) as problem:
        return await _form(visit, typed, expires, at_field(problem))
    return secret.shown(visit, client) if client.fresh_secret else visit.redirect(home(client), done="proof_added")


async def ask(visit: PageRequest) -> Response:
    """Show the impact of removing the proof, and ask for confirmation."""
    client, proof, stops = await visit.read(lambda tx: _ending(tx, visit))
    caution = removal_caution(client, proof.proof, visit.act.now)
    return visit.render(
        "clients/remove_proof.html",
        title="Remove this proof?",
        client=client,
        held=proof,
        stops=stops,
        caution=caution,
    )


async def remove(visit: PageRequest) -> Response:
    """Remove the proof."""
    asked, proof_id = visit.request.path_params["client"], visit.request.path_params["proof"]
    client = await visit.change(lambda tx, act: held_proofs.remove_proof(tx, act, asked, proof_id))
    return visit.redirect(home(client), done="proof_removed")


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
    client = await visit.read(lambda tx: found(tx, visit))
    return visit.render(
        "clients/add_proof.html",
        title="Add a proof",
        problem=problem,
        client=client,
        typed=typed,
        expires=expires,
        **await section_context(visit, typed, judged=problem is not None),
    )


def _ending(tx: Tx, visit: PageRequest) -> tuple[Client, HeldProof, Consequences]:
    client = found(tx, visit)
    proof_id = visit.request.path_params["proof"]
    for each in held(tx, client, visit.act.now, visit.console.settings.trust_domain):
        if each.proof.id == proof_id:
            return client, each, consequences.of_proof(tx, visit.act, client.id, proof_id)
    raise NotFound(f"{client.name} holds no such proof.", "Look at the proofs that it holds now.")
