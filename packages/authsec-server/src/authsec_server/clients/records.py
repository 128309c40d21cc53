"""The fields of a client and its proofs that the audit log records. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from authsec_server.audit.model import Named
from authsec_server.clients.model import Client, Proof, ProofKind


def named(client: Client) -> Named:
    """Return the client's id and present name."""
    return Named(id=client.id, name=client.name)


def whole(client: Client) -> Mapping[str, object]:
    """Return the fields of the client that never change, and its proofs, for the audit log.

    The audit log then shows later which fields and proofs the client had.
    """
    return {
        "slug": client.slug,
        "kind": client.kind,
        "platform": client.platform,
        "proofs": [evidence(proof) for proof in client.proofs],
    }


def evidence(proof: Proof) -> Mapping[str, object]:
    """Return the evidence that a proof needs. A key is identified by its thumbprint only."""
    shown: dict[str, object] = {
        "kind": proof.kind,
        "selectors": [[selector.key, selector.value] for selector in proof.selectors],
        "thumbprint": proof.thumbprint,
    }
    if proof.kind is ProofKind.ENROLLED_KEY:
        shown |= {"enrolled_by": proof.enrolled_by, "machine": proof.machine}
    if proof.trusted_issuer_id is not None:
        shown["trusted_issuer_id"] = proof.trusted_issuer_id
    if proof.expires_at is not None:
        shown["expires_at"] = proof.expires_at.isoformat()
    return shown
