"""The verb that gives a client a new secret; those before it count for a while yet, until the agent has the new one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named
from authsec_server.clients import service, store
from authsec_server.clients.holding import end, refuse_too_many, with_proofs
from authsec_server.clients.model import NEVER, OVERLAP, Client, Proof, ProofKind
from authsec_server.clients.proofs import make_secret
from authsec_server.clients.records import evidence, named
from authsec_server.db import Tx
from authsec_server.failures import Conflict, Invalid
from authsec_server.principal import Act, Role

MAX_OVERLAP: Final = timedelta(days=7)


def rotate_secret(tx: Tx, act: Act, id_or_slug: str, overlap: timedelta = OVERLAP) -> Client:
    """The client with a new secret, whose text is its `fresh_secret` this once.

    Its secrets from before end with the overlap, or earlier where they would have. With none they go at once, and the
    tokens that rest on them end: for a secret that somebody has seen. The new one ends when the last of them would
    have. Raises `Invalid`, `NotFound`, and `Conflict` where no secret gets the client in.
    """
    act.principal.require(Role.OPERATOR)
    if not timedelta(0) <= overlap <= MAX_OVERLAP:
        raise Invalid("overlap", "The overlap is 0 to 7 days.", "With 0 the secrets from before end at once.")
    client = service.get(tx, act, id_or_slug)
    before = [proof for proof in client.proofs if proof.kind is ProofKind.SECRET]
    counting = [proof for proof in before if proof.stands(act.now)]
    made = _made(act, client, counting)
    kept = [_ending(proof, act.now + overlap) for proof in counting] if overlap else []
    others = [proof for proof in client.proofs if proof not in before]
    refuse_too_many(client, [*others, *kept, made])
    holding = replace(with_proofs(client, act, (*others, *kept, made)), platform=client.platform)
    for proof in before:
        if proof.id not in {each.id for each in kept}:
            end(tx, act, holding, proof)
    for proof in kept:
        store.set_end(tx.connection, proof)
    store.add_proof(tx.connection, made)
    store.save(tx.connection, holding)
    _record(tx, act, holding, made, kept)
    return holding


def _made(act: Act, client: Client, counting: list[Proof]) -> Proof:
    if not counting:
        raise Conflict(
            f"{client.name} has no secret that counts, so there is none to rotate.",
            f"Add one: authsec agents proofs add {client.slug} --platform secret",
        )
    last = max(proof.expires_at or NEVER for proof in counting)
    return make_secret(
        id=act.new_id(),
        client_id=client.id,
        expires_at=None if last == NEVER else last,
        now=act.now,
        token_bytes=act.token_bytes,
    )


def _ending(proof: Proof, at: datetime) -> Proof:
    return replace(proof, expires_at=min(proof.expires_at or NEVER, at))


def _record(tx: Tx, act: Act, client: Client, made: Proof, kept: list[Proof]) -> None:
    before = [{"id": proof.id, **evidence(proof)} for proof in kept]
    subject, detail = Named(id=made.id, name=made.kind), {**evidence(made), "before": before}
    audit.record_act(tx, act, EventKind.PROOF_ROTATED, client=named(client), subject=subject, detail=detail)
