"""What the admin API shows of a client and its proofs: never a secret, but once the one that has just been made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.responses import JSONResponse

from authsec_server.audit import counts
from authsec_server.clients.model import Client, Proof, spiffe_id
from authsec_server.clients.proof_status import proof_status
from authsec_server.db import Tx
from authsec_server.sources import service as sources
from authsec_server.sources.model import TrustSource, provenance
from authsec_server.web.instants import rfc3339


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A client; by their ids, the trust sources that its proofs rest on, and when each proof was last used."""

    client: Client
    sources: Mapping[str, TrustSource]
    used: Mapping[str, datetime]


def see(tx: Tx, client: Client) -> Seen:
    """The client, as it was read or has just been changed. Within a `read`, as for all that counts uses."""
    return see_all(tx, [client])[0]


def see_all(tx: Tx, clients: Sequence[Client]) -> list[Seen]:
    """These clients. Two statements more, however many."""
    known = sources.by_ids(tx, frozenset().union(*(client.source_ids for client in clients)))
    used = counts.proof_last_uses(tx, [proof.id for client in clients for proof in client.proofs])
    return [Seen(client=client, sources=known, used=used) for client in clients]


def as_json(seen: Seen, trust_domain: str, now: datetime) -> dict[str, Any]:
    """The client: `client_id` is its id by the name that OAuth gives it."""
    client = seen.client
    return {
        "client_id": client.id,
        "spiffe_id": spiffe_id(trust_domain, client.id),
        "slug": client.slug,
        "name": client.name,
        "kind": client.kind,
        "platform": client.platform,
        "owner": client.owner,
        "description": client.description,
        "labels": dict(client.labels),
        "enabled": client.enabled,
        "can_prove_itself": client.can_prove_itself(now),
        "unattested": client.unattested(now),
        "enrolled": client.enrolled(now),
        "proofs": [_proof(proof, seen, now) for proof in client.proofs],
        "created_at": rfc3339(client.created_at),
    }


def made(seen: Seen, trust_domain: str, now: datetime, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer when something was made for the client: 201, with its new secret, if it was given one."""
    body = as_json(seen, trust_domain, now)
    if seen.client.fresh_secret:
        body["client_secret"] = seen.client.fresh_secret
    return JSONResponse(body, 201, {"Cache-Control": "no-store", **(headers or {})})


def _proof(proof: Proof, seen: Seen, now: datetime) -> dict[str, Any]:
    source = seen.sources.get(proof.source_id or "")
    status = proof_status(proof, source, now)
    return {
        "id": proof.id,
        "kind": proof.kind,
        "state": status.state,
        "missing": status.missing or None,
        "caution": status.caution or None,
        "source": {"id": source.id, "slug": source.slug, "name": source.name} if source else None,
        "selectors": [{"key": each.key, "value": each.value} for each in proof.selectors],
        "provenance": {each.key: provenance(source, each.key) for each in proof.selectors} if source else None,
        "public_key": proof.public_key,
        "thumbprint": proof.thumbprint,
        "enrolled_by": proof.enrolled_by or None,
        "machine": proof.machine or None,
        "expires_at": rfc3339(proof.expires_at),
        "last_used_at": rfc3339(seen.used.get(proof.id)),
        "created_at": rfc3339(proof.created_at),
    }
