"""What the journal keeps of a client and its proofs. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from authsec_server.audit.model import Named
from authsec_server.clients.model import Client, Proof, ProofKind


def named(client: Client) -> Named:
    """The client by its id and the name that it has now."""
    return Named(id=client.id, name=client.name)


def whole(client: Client) -> Mapping[str, object]:
    """What the client is and will have to show: afterwards nobody can say that it was something else."""
    return {
        "slug": client.slug,
        "kind": client.kind,
        "platform": client.platform,
        "proofs": [evidence(proof) for proof in client.proofs],
    }


def described(client: Client) -> Mapping[str, object]:
    """What an edit can change."""
    return {
        "name": client.name,
        "slug": client.slug,
        "owner": client.owner,
        "description": client.description,
        "labels": dict(client.labels),
    }


def evidence(proof: Proof) -> Mapping[str, object]:
    """What a proof asks for, without its key: the thumbprint says which that is."""
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
