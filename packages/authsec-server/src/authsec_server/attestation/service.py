"""Attestation's one question: is this caller that client? Nothing to check means no."""

from __future__ import annotations

from datetime import datetime

from authsec_server.attestation import key_pair, store
from authsec_server.attestation.model import Evidence, Proved, RefusalReason, Refused, Scheme, SingleUse, invalid
from authsec_server.clients.model import Client, ProofKind
from authsec_server.db import Tx

_HOW = "Send `Authorization: Bearer <proof>`: a private_key_jwt assertion (RFC 7523), signed with the agent's own key."


def attest(client: Client, evidence: Evidence | None, *, issuer: str, now: datetime) -> Proved | Refused:
    """What the evidence proves. Evidence that comes and does not hold is refused even where none was needed."""
    if evidence is not None:
        if evidence.scheme is Scheme.BEARER:
            return key_pair.verify(evidence, client, issuer=issuer, now=now)
        return invalid(_HOW)
    for proof in client.proofs:
        if proof.kind is ProofKind.UNATTESTED and proof.stands(now):
            return Proved(proof_id=proof.id, kind=proof.kind)
    return Refused(reason=RefusalReason.REQUIRED, details=_HOW)


def use_once(tx: Tx, client_id: str, single_use: SingleUse) -> bool:
    """Use up evidence that proves once; False when it was used before. In the transaction that records the outcome."""
    return store.use(tx.connection, client_id, single_use.jti_sha256, single_use.until)


def forget_used(tx: Tx, now: datetime) -> None:
    """Forget used evidence that has expired."""
    store.forget(tx.connection, now)
