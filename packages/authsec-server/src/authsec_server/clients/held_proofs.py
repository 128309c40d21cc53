"""Add and remove the proofs of a client, and rotate its secret."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from authsec_server import naming
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named
from authsec_server.clients import service, store
from authsec_server.clients.binding_matching import with_trusted_issuer
from authsec_server.clients.model import MAX_PROOFS, NEVER, OVERLAP, Client, NewProof, Proof, ProofKind, parse_platform
from authsec_server.clients.proofs import make_proof, make_secret, platform_of, same_evidence
from authsec_server.clients.service import named_client, proof_detail
from authsec_server.db import Tx
from authsec_server.failures import Conflict, Invalid, NotFound
from authsec_server.principal import Act, Role
from authsec_server.revisions import changed
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import Revocation, SubjectKind


def add_proof(tx: Tx, act: Act, id_or_slug: str, wanted: NewProof, *, trust_domain: str = "") -> Client:
    """Add a proof to the client. Raises `Invalid` or `NotFound`.

    Raises `Conflict` if the client already has the proof. `trust_domain` is the trust domain in the clients'
    SPIFFE IDs.
    """
    act.principal.require(Role.OPERATOR)
    client = service.get(tx, act, id_or_slug)
    made = make_proof(
        id=act.new_id(),
        client_id=client.id,
        platform=parse_platform(wanted.platform),
        selectors=wanted.selectors,
        public_key=wanted.public_key,
        expires_at=wanted.expires_at,
        now=act.now,
        token_bytes=act.token_bytes,
    )
    proof = with_trusted_issuer(tx, made, wanted.trusted_issuer, trust_domain)
    _refuse_repeated(client, proof)
    service.refuse_taken_key(tx, proof)
    holding = with_proofs(client, act, (*client.proofs, proof))
    store.add_proof(tx.connection, proof)
    store.save(tx.connection, holding)
    record(tx, act, EventKind.PROOF_ADDED, named_client(holding), proof)
    return holding


def remove_proof(tx: Tx, act: Act, id_or_slug: str, proof_id: str) -> Client:
    """Remove the proof, and revoke the tokens that were issued on it. Raises `NotFound`.

    The last proof may be removed, too. The client then gets no token until another proof is added.
    """
    act.principal.require(Role.OPERATOR)
    client = service.get(tx, act, id_or_slug)
    proof = held(client, proof_id)
    holding = with_proofs(client, act, tuple(each for each in client.proofs if each is not proof))
    end(tx, act, holding, proof)
    store.save(tx.connection, holding)
    return holding


def held(client: Client, proof_id: str) -> Proof:
    """Return the client's proof with this id. Raises `NotFound`."""
    for proof in client.proofs:
        if proof.id == proof_id:
            return proof
    raise NotFound(
        f"{client.name} has no proof {naming.quoted(proof_id)}.",
        f"See the list: authsec agents proofs list {client.slug}",
    )


def with_proofs(client: Client, act: Act, held: tuple[Proof, ...]) -> Client:
    """Return the client's next revision, with these proofs.

    The first proof decides the platform. Without any proof, the platform does not change. An enrolled key never
    decides the platform: the key only shows that the client runs on a laptop for some hours.
    """
    in_order = tuple(sorted(held, key=lambda proof: (proof.created_at, proof.id)))
    telling = [proof for proof in in_order if proof.kind is not ProofKind.ENROLLED_KEY]
    return changed(client, act, proofs=in_order, platform=platform_of(telling[0]) if telling else client.platform)


def _refuse_repeated(client: Client, proof: Proof) -> None:
    if any(same_evidence(held, proof) for held in client.proofs):
        raise Conflict(
            f"{client.name} already has this proof.", "To change the expiry of the proof, remove the proof first."
        )
    refuse_too_many(client, [*client.proofs, proof])


def refuse_too_many(client: Client, held: Sequence[Proof]) -> None:
    """Raise `Conflict` if the number of proofs is above the limit. Only this package calls the function."""
    if len(held) > MAX_PROOFS:  # every token request tries each proof
        raise Conflict(f"{client.name} has {MAX_PROOFS} proofs, which is the limit.", "Remove a proof first.")


def end(tx: Tx, act: Act, client: Client, proof: Proof) -> None:
    """Delete the proof and revoke its tokens. `client` no longer contains the proof.

    Only this package calls the function.
    """
    store.remove_proof(tx.connection, proof.id)
    ended = revocations.end(tx, SubjectKind.PROOF, proof.id, act.now)
    record(tx, act, EventKind.PROOF_REMOVED, named_client(client), proof, ended)


def record(tx: Tx, act: Act, kind: EventKind, client: Named, proof: Proof, *ended: Revocation) -> None:
    """Record an event about the proof in the audit log, with the revocations in `ended`.

    Only this package calls the function.
    """
    told = revocations.as_detail(*ended) if kind is EventKind.PROOF_REMOVED else {}
    audit.record_act(
        tx,
        act,
        kind,
        client=client,
        subject=Named(id=proof.id, name=proof.kind),
        detail={**proof_detail(proof), **told},
    )


MAX_OVERLAP: Final = timedelta(days=7)


def rotate_secret(tx: Tx, act: Act, id_or_slug: str, overlap: timedelta = OVERLAP) -> Client:
    """Give the client a new secret, and return the client.

    Only in this result, `fresh_secret` has the text of the secret.

    - With an overlap, an earlier secret expires after the overlap, or at its own expiry if that is sooner.
    - Without an overlap, the earlier secrets are deleted at once, and their tokens are revoked. Use this if
      somebody has seen a secret.

    The new secret gets the latest expiry of the earlier secrets. Raises `Invalid` or `NotFound`. Raises
    `Conflict` if the client has no valid secret.
    """
    act.principal.require(Role.OPERATOR)
    if not timedelta(0) <= overlap <= MAX_OVERLAP:
        raise Invalid(
            "overlap", "The overlap must be 0 to 7 days.", "With 0, the previous secrets are revoked at once."
        )
    client = service.get(tx, act, id_or_slug)
    before = [proof for proof in client.proofs if proof.kind is ProofKind.SECRET]
    counting = [proof for proof in before if proof.is_valid(act.now)]
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
            f"{client.name} has no valid secret to rotate.",
            f"Add a secret: authsec agents proofs add {client.slug} --platform secret",
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
    before = [{"id": proof.id, **proof_detail(proof)} for proof in kept]
    subject, detail = Named(id=made.id, name=made.kind), {**proof_detail(made), "before": before}
    audit.record_act(tx, act, EventKind.PROOF_ROTATED, client=named_client(client), subject=subject, detail=detail)
