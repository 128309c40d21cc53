"""The JSON of a client and its proofs, in requests, documents and answers.

The JSON contains no secret, except a new secret, which is shown only once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict  # required by pydantic before Python 3.12

from authsec_server.audit import counts
from authsec_server.clients.model import EDITABLE, Client, ClientKind, Platform, Proof, ProofKind, Selector, spiffe_id
from authsec_server.clients.proof_status import ProofState, proof_status
from authsec_server.db import Tx
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import Provenance, TrustedIssuer, provenance
from authsec_server.revisions import plain
from authsec_server.web.bodies import Body, Changes, changes_of
from authsec_server.web.instants import rfc3339


class ClientDescription(TypedDict):
    """The fields that describe a client, as an answer contains them."""

    slug: str
    name: str
    owner: str
    description: str
    labels: dict[str, str]


class ClientDescriptionBody(Body):
    """The optional fields that describe a client, as a request or document contains them."""

    owner: str | None = Field(
        None,
        description="If omitted, an edit keeps the owner. A new client then belongs to the person who creates it.",
    )
    description: str = ""
    labels: dict[str, str] = Field(default_factory=dict)


@changes_of(ClientDescription)
class ClientChanges(Changes):
    """Changes to the description of a client; they revoke no token."""


class SelectorShown(TypedDict):
    """A selector as the admin API returns it: one fact about the workload."""

    key: str
    value: str


class ItsTrustedIssuer(TypedDict):
    """The trusted issuer of a proof."""

    id: str
    slug: str
    name: str


class ProofShown(TypedDict):
    """A proof as the admin API returns it: its kind, its current state, and what it lacks."""

    id: str
    kind: ProofKind
    state: ProofState
    missing: str | None
    caution: str | None
    trusted_issuer: ItsTrustedIssuer | None
    selectors: list[SelectorShown]
    provenance: dict[str, Provenance] | None
    public_key: dict[str, Any] | None
    thumbprint: str | None
    enrolled_by: str | None
    machine: str | None
    expires_at: str | None
    last_used_at: str | None
    created_at: str


class ClientShown(ClientDescription):
    """A client as the admin API returns it. `client_id` is the client's id; OAuth uses this name."""

    client_id: str
    spiffe_id: str
    kind: ClientKind
    platform: Platform
    enabled: bool
    can_prove_itself: bool
    unattested: bool
    enrolled: bool
    proofs: list[ProofShown]
    created_at: str
    revision: int
    changed_at: str | None
    changed_by: str | None


class ClientEnabled(ClientShown):
    """A client that was enabled. `state` is `ready` only if the client can get tokens now."""

    state: str


class ClientMade(ClientShown):
    """A client after a change.

    If the change made a secret, `client_secret` is this secret, which is shown only once.
    """

    client_secret: NotRequired[str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientDetails:
    """A client with data for its JSON.

    `trusted_issuers` are the issuers of the client's proofs, by id. `used` is the last use of each proof, by
    id.
    """

    client: Client
    trusted_issuers: Mapping[str, TrustedIssuer]
    used: Mapping[str, datetime]


def load_details(tx: Tx, client: Client) -> ClientDetails:
    """Load the data that is shown with the client.

    Call inside a `read`, because the last uses of proofs need one consistent snapshot.
    """
    return load_all_details(tx, [client])[0]


def load_all_details(tx: Tx, clients: Sequence[Client]) -> list[ClientDetails]:
    """Load the data that is shown with these clients. Two SQL statements load any number of clients."""
    known = issuers.by_ids(tx, frozenset().union(*(client.trusted_issuer_ids for client in clients)))
    used = counts.proof_last_uses(tx, [proof.id for client in clients for proof in client.proofs])
    return [ClientDetails(client=client, trusted_issuers=known, used=used) for client in clients]


def as_json(seen: ClientDetails, trust_domain: str, now: datetime) -> ClientShown:
    """Convert the client to JSON."""
    client = seen.client
    described = cast("ClientDescription", plain(EDITABLE, client))
    return {
        "client_id": client.id,
        "spiffe_id": spiffe_id(trust_domain, client.id),
        **described,
        "kind": client.kind,
        "platform": client.platform,
        "enabled": client.enabled,
        "can_prove_itself": client.can_prove_itself(now),
        "unattested": client.unattested(now),
        "enrolled": client.enrolled(now),
        "proofs": [proof_json(proof, seen, now) for proof in client.proofs],
        "created_at": rfc3339(client.created_at),
        "revision": client.revision,
        "changed_at": rfc3339(client.changed_at),
        "changed_by": client.changed_by or None,
    }


def made(seen: ClientDetails, trust_domain: str, now: datetime) -> ClientMade:
    """Convert the client to JSON, with its new secret if the client has one."""
    shown = cast("ClientMade", as_json(seen, trust_domain, now))  # without the optional member
    if seen.client.fresh_secret:
        shown["client_secret"] = seen.client.fresh_secret
    return shown


def proof_json(proof: Proof, seen: ClientDetails, now: datetime) -> ProofShown:
    """Convert a proof of the client to JSON. The proof may have been removed just before."""
    trusted_issuer = seen.trusted_issuers.get(proof.trusted_issuer_id or "")
    status = proof_status(proof, trusted_issuer, now)
    return {
        "id": proof.id,
        "kind": proof.kind,
        "state": status.state,
        "missing": status.missing or None,
        "caution": status.caution or None,
        "trusted_issuer": {"id": trusted_issuer.id, "slug": trusted_issuer.slug, "name": trusted_issuer.name}
        if trusted_issuer
        else None,
        "selectors": list(map(selector_json, proof.selectors)),
        "provenance": {each.key: provenance(trusted_issuer, each.key) for each in proof.selectors}
        if trusted_issuer
        else None,
        "public_key": dict(proof.public_key) if proof.public_key else None,
        "thumbprint": proof.thumbprint,
        "enrolled_by": proof.enrolled_by or None,
        "machine": proof.machine or None,
        "expires_at": rfc3339(proof.expires_at),
        "last_used_at": rfc3339(seen.used.get(proof.id)),
        "created_at": rfc3339(proof.created_at),
    }


def selector_json(selector: Selector) -> SelectorShown:
    """Convert the selector to JSON."""
    return {"key": selector.key, "value": selector.value}
