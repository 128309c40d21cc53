"""Clients, and the proofs by which each client authenticates. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from authsec_server import naming
from authsec_server.failures import Invalid
from authsec_server.revisions import Editable, Fields

MAX_LABELS = 32
MAX_PROOFS = 16
NEVER = datetime.max.replace(tzinfo=UTC)
"""The expiry of a proof that never expires."""
OVERLAP = timedelta(hours=24)
"""How long old secrets stay valid after a rotation, by default."""
_LABEL = re.compile(r"[a-z0-9][a-z0-9._/-]{0,62}")


class ClientKind(StrEnum):
    """The kinds of clients."""

    AI_AGENT = "ai_agent"
    MCP_SERVER = "mcp_server"


class Platform(StrEnum):
    """The platform on which the client runs.

    Some values name a way to authenticate without a platform, such as `key`.
    """

    KUBERNETES = "kubernetes"
    DOCKER = "docker"
    UNIX = "unix"
    SPIFFE = "spiffe"
    OIDC = "oidc"
    KEY = "key"
    SECRET = "secret"  # noqa: S105 - a platform's name
    UNATTESTED = "unattested"

    @property
    def shown(self) -> str:
        """Return the platform's name for people."""
        special = {
            Platform.SPIFFE: "SPIFFE",
            Platform.OIDC: "OpenID Connect",
            Platform.KEY: "Key pair",
            Platform.SECRET: "Client secret",
        }
        return special.get(self, self.value.capitalize())


class ProofKind(StrEnum):
    """The ways in which a client can authenticate. An `UNATTESTED` client sends only its client_id, without a proof."""

    SELECTORS = "selectors"
    KEY_PAIR = "key_pair"
    ENROLLED_KEY = "enrolled_key"  # a machine's own key pair, registered with a code, valid for some hours
    SECRET = "secret"  # noqa: S105 - a kind's name
    UNATTESTED = "unattested"


SIGNED = frozenset({ProofKind.KEY_PAIR, ProofKind.ENROLLED_KEY})
"""The kinds of proof that a client signs with its own key."""

CHECKED = SIGNED | {ProofKind.SECRET}
"""The kinds that `attestation` checks without a trusted issuer. The column `provable_until` depends on this set, so a
new kind needs a migration."""


class Attention(StrEnum):
    """Reasons why an administrator should look at a client."""

    CANNOT_PROVE = "cannot_prove"  # no proof can be checked, so the client gets no token
    UNATTESTED = "unattested"  # anybody who knows the client_id can get the client's tokens
    SECRET = "secret"  # noqa: S105 - anybody who reads the secret can use it until its rotation
    ENROLLED = "enrolled"  # a machine has an enrolled key of this client for some hours


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """One fact about a workload, with a key and a value as in SPIRE: `k8s:ns` = `production`."""

    key: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One way in which a client can authenticate; one valid proof is enough.

    The trusted issuer of the proof must prove all `selectors`; no other issuer may. `trusted_issuer_enabled`
    says whether the issuer `trusted_issuer_id` is enabled and can prove all selectors. `public_key` is a JWK
    (RFC 7517), and `thumbprint` is its RFC 7638 thumbprint. `secret` is set only on a new secret, which is
    shown once. Only its hash `secret_sha256` is stored, and only the package `attestation` uses the hash.

    For an enrolled key, `enrolled_by` is the name of the principal that made the code. `machine` is the
    unverified name that the machine reports.

    A key belongs to one client. But two clients may have the same selectors at the same trusted issuer. One
    workload can then authenticate as either client. This is safe, because no other workload matches, and each
    token names its client. During a move of a workload from one client to another, both clients have the proof.
    """

    id: str
    client_id: str
    kind: ProofKind
    trusted_issuer_id: str | None = None
    trusted_issuer_enabled: bool = True
    selectors: tuple[Selector, ...] = ()
    public_key: Mapping[str, Any] | None = field(default=None, hash=False)
    thumbprint: str | None = None
    secret: str | None = field(default=None, repr=False, compare=False)
    secret_sha256: str | None = field(default=None, repr=False)
    enrolled_by: str = ""
    machine: str = ""
    expires_at: datetime | None = None
    created_at: datetime

    def is_valid(self, now: datetime) -> bool:
        """Return whether the proof is not expired."""
        return self.expires_at is None or now < self.expires_at

    @property
    def checkable(self) -> bool:
        """Return whether this authority can check the proof, by itself or by an enabled trusted issuer."""
        provable = self.trusted_issuer_id is not None and self.trusted_issuer_enabled
        return self.kind in CHECKED or (self.kind is ProofKind.SELECTORS and provable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A registered agent or MCP server. `id` is its `client_id`: a public name, not a secret.

    `revision` counts the changes to the client and its proofs. An edit request must contain the revision that
    the editor has read.
    """

    id: str
    slug: str
    name: str
    kind: ClientKind
    platform: Platform
    owner: str
    description: str
    labels: Mapping[str, str] = field(hash=False)
    enabled: bool
    created_at: datetime
    proofs: tuple[Proof, ...]
    revision: int = 1
    changed_at: datetime | None = None
    changed_by: str = ""  # the principal's name

    @property
    def trusted_issuer_ids(self) -> frozenset[str]:
        """Return the ids of the trusted issuers that the client's proofs name."""
        return frozenset(proof.trusted_issuer_id for proof in self.proofs if proof.trusted_issuer_id)

    @property
    def provable_until(self) -> datetime | None:
        """Return the latest expiry of the proofs that this authority can check.

        Return `NEVER` if one of these proofs has no expiry, and None if the client has no such proof.
        """
        return _last_end(proof for proof in self.proofs if proof.checkable)

    @property
    def unattested_until(self) -> datetime | None:
        """Return the time until which the client_id alone is enough to authenticate.

        Return `NEVER` if the time has no end, and None if the client has no unattested proof.
        """
        return _last_end(proof for proof in self.proofs if proof.kind is ProofKind.UNATTESTED)

    def unattested(self, now: datetime) -> bool:
        """Return whether the client_id alone is enough to authenticate."""
        return _reaches(self.unattested_until, now)

    @property
    def fresh_secret(self) -> str | None:
        """Return the text of the client's new secret, or None if no secret is new. The text is stored nowhere."""
        return next((proof.secret for proof in self.proofs if proof.secret), None)

    def holds_secret(self, now: datetime) -> bool:
        """Return whether the client can authenticate by a secret. A thief could use the secret until its rotation."""
        return any(proof.kind is ProofKind.SECRET and proof.is_valid(now) for proof in self.proofs)

    def enrolled(self, now: datetime) -> bool:
        """Return whether the client has an unexpired key that a machine enrolled."""
        return any(proof.kind is ProofKind.ENROLLED_KEY and proof.is_valid(now) for proof in self.proofs)

    def usable_proofs(self, now: datetime) -> tuple[Proof, ...]:
        """Return the client's valid proofs that a token request can use."""
        return tuple(
            proof
            for proof in self.proofs
            if proof.is_valid(now) and (proof.checkable or proof.kind is ProofKind.UNATTESTED)
        )

    def can_prove_itself(self, now: datetime) -> bool:
        """Return whether the client has a valid proof that this authority can check.

        The client_id alone is no such proof.
        """
        return _reaches(self.provable_until, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Onboarding:
    """Request to onboard a client, before any check.

    `selectors` are pairs of key and value, and `public_key` is PEM. `trusted_issuer` is an id or a slug; the
    request must have it if several issuers can prove the selectors. `expires_at` is the expiry of the client's
    proof. Without `slug`, the slug is made from the name. Without `owner`, the owner is the principal that
    onboards the client.
    """

    name: str
    platform: str
    kind: ClientKind = ClientKind.AI_AGENT
    selectors: tuple[tuple[str, str], ...] = ()
    public_key: str | None = field(default=None, repr=False)  # people paste private keys by mistake
    trusted_issuer: str | None = None
    expires_at: datetime | None = None
    slug: str | None = None
    owner: str | None = None
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProof:
    """Request to add a proof to a client, before any check. The fields are as in `Onboarding`."""

    platform: str
    selectors: tuple[tuple[str, str], ...] = ()
    public_key: str | None = field(default=None, repr=False)  # people paste private keys by mistake
    trusted_issuer: str | None = None
    expires_at: datetime | None = None


def parse_platform(text: str) -> Platform:
    """Parse the platform. Raises `Invalid`, and the error text lists the platforms."""
    try:
        return Platform(text)
    except ValueError:
        raise Invalid(
            "platform", f"{naming.quoted(text)} is not a platform.", f"One of: {', '.join(Platform)}"
        ) from None


def spiffe_id(trust_domain: str, client_id: str) -> str:
    """Return the client's SPIFFE ID.

    The ID contains no text that a person chooses, so no ID can imitate another ID.
    """
    return f"spiffe://{trust_domain}/agent/{client_id}"


def client_id_in(spiffe_id: str, trust_domain: str) -> str:
    """Return the id of the client that has this SPIFFE ID; empty if it is the SPIFFE ID of no client."""
    prefix = f"spiffe://{trust_domain}/agent/"
    named = spiffe_id.removeprefix(prefix)
    return named if spiffe_id.startswith(prefix) and naming.is_uuid(named) else ""


def parse_labels(field: str, labels: Mapping[str, str]) -> dict[str, str]:
    """Check the labels, and sort them by name. Raises `Invalid`; the error names the wrong label."""
    if len(labels) > MAX_LABELS:
        raise Invalid(field, f"There are more than {MAX_LABELS} labels.")
    for key in labels:
        if not _LABEL.fullmatch(key):
            raise Invalid(
                field,
                f"{naming.quoted(key)} is not a valid label name.",
                "Use 1 to 63 lower-case letters, digits, '.', '_', '/' or '-', e.g. team",
            )
    return {key: naming.name(f"{field}.{key}", labels[key]) for key in sorted(labels)}


EDITABLE: Fields = {
    "name": Editable(naming.name),
    "slug": Editable(naming.slug),
    "owner": Editable(naming.name),
    "description": Editable(naming.text),
    "labels": Editable(parse_labels, plain=dict),
}
"""The fields that describe a client, in the admin API, documents and the audit log. No permission uses these fields. A
new field also needs a column in `store`, a JSON type in `views`, and inputs in the template `clients/parts.html` and
the command line. All other code reads this list."""


def _last_end(held: Iterable[Proof]) -> datetime | None:
    return max((proof.expires_at or NEVER for proof in held), default=None)


def _reaches(end: datetime | None, now: datetime) -> bool:
    return end is not None and now < end
