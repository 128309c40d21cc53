"""Clients, and the proofs by which each shows that it is itself. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from authsec_server import naming
from authsec_server.failures import Invalid

MAX_LABELS = 32
MAX_PROOFS = 16
NEVER = datetime.max.replace(tzinfo=UTC)
"""The end of what has none."""
OVERLAP = timedelta(hours=24)
"""How long secrets still count when there is a new one, unless somebody says otherwise."""
_LABEL = re.compile(r"[a-z0-9][a-z0-9._/-]{0,62}")


class ClientKind(StrEnum):
    """What is registered."""

    AI_AGENT = "ai_agent"
    MCP_SERVER = "mcp_server"


class Platform(StrEnum):
    """Where the client runs; where the platform does not tell who runs there, how it shows that instead."""

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
        """Its name for people."""
        special = {
            Platform.SPIFFE: "SPIFFE",
            Platform.OIDC: "OpenID Connect",
            Platform.KEY: "Key pair",
            Platform.SECRET: "Client secret",
        }
        return special.get(self, self.value.capitalize())


class ProofKind(StrEnum):
    """The ways to prove oneself. `UNATTESTED` is the way of those that prove nothing: their name is enough."""

    SELECTORS = "selectors"
    KEY_PAIR = "key_pair"
    ENROLLED_KEY = "enrolled_key"  # a key pair that a machine made for itself, on a code, for some hours
    SECRET = "secret"  # noqa: S105 - a kind's name
    UNATTESTED = "unattested"


SIGNED = frozenset({ProofKind.KEY_PAIR, ProofKind.ENROLLED_KEY})
"""The kinds by which a client signs for itself."""

CHECKED = SIGNED | {ProofKind.SECRET}
"""The kinds that `attestation` checks by themselves; selectors it checks where a trusted issuer can prove them.

The column `provable_until` rests on it: a new kind needs a migration.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """One fact about a workload, in SPIRE's vocabulary: `k8s:ns` = `production`."""

    key: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One way in which a client may prove itself; any one suffices.

    `selectors` hold all at once, proved by the trusted issuer `trusted_issuer_id` alone; `trusted_issuer_enabled`
    says whether it can prove them: it is enabled, and proves each. `public_key` is a JWK (RFC 7517),
    `thumbprint` its RFC 7638 thumbprint. `secret` is there where one has just been made, to be shown this once; its
    hash is kept, for `attestation` alone.

    Of an enrolled key, `enrolled_by` is who made the code and `machine` what the machine calls itself: its own word.

    One key is one client's, but two clients may have the same selectors at the same trusted issuer. One workload is
    both then, as whoever registers them wants it: nobody gets in who is not that workload, the token says as which of
    them it came, and to move a workload from one client to another takes both for a while.
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

    def stands(self, now: datetime) -> bool:
        """Whether it has not expired."""
        return self.expires_at is None or now < self.expires_at

    @property
    def checkable(self) -> bool:
        """Whether this authority can check it: by itself, or with a token of an enabled trusted issuer."""
        provable = self.trusted_issuer_id is not None and self.trusted_issuer_enabled
        return self.kind in CHECKED or (self.kind is ProofKind.SELECTORS and provable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A registered party. `id` is its `client_id`: a name that anybody may know, not a secret.

    `revision` counts the changes made to it or its proofs: who edits says which one they had read.
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
        """The trusted issuers that its proofs rest on."""
        return frozenset(proof.trusted_issuer_id for proof in self.proofs if proof.trusted_issuer_id)

    @property
    def provable_until(self) -> datetime | None:
        """When the last of its proofs that can be checked ends, `NEVER` where one has no end; None without any."""
        return _last_end(proof for proof in self.proofs if proof.checkable)

    @property
    def unattested_until(self) -> datetime | None:
        """When its name alone no longer gets it in, `NEVER` where that has no end; None where it never did."""
        return _last_end(proof for proof in self.proofs if proof.kind is ProofKind.UNATTESTED)

    def unattested(self, now: datetime) -> bool:
        """Whether its name alone gets it in."""
        return _reaches(self.unattested_until, now)

    @property
    def fresh_secret(self) -> str | None:
        """The text of the secret that has just been made for it: never read from anywhere, and gone with this value."""
        return next((proof.secret for proof in self.proofs if proof.secret), None)

    def holds_secret(self, now: datetime) -> bool:
        """Whether a secret gets it in: whoever reads that once has it until it is rotated."""
        return any(proof.kind is ProofKind.SECRET and proof.stands(now) for proof in self.proofs)

    def enrolled(self, now: datetime) -> bool:
        """Whether a machine somewhere holds a key of it that was enrolled for some hours."""
        return any(proof.kind is ProofKind.ENROLLED_KEY and proof.stands(now) for proof in self.proofs)

    def can_prove_itself(self, now: datetime) -> bool:
        """Whether it holds a proof that this authority can check. An unattested client proves nothing."""
        return _reaches(self.provable_until, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Onboarding:
    """What is asked for when a client is onboarded; nothing of it has been checked yet.

    `selectors` are pairs of key and value, `public_key` is PEM. `trusted_issuer` is the id or slug of the trusted
    issuer that proves the selectors, needed where several can. `expires_at` is when its proof ends. Without
    `slug` the name makes one; without `owner` it is who onboards.
    """

    name: str
    platform: str
    kind: ClientKind = ClientKind.AI_AGENT
    selectors: tuple[tuple[str, str], ...] = ()
    public_key: str | None = field(default=None, repr=False)  # somebody will paste a private one
    trusted_issuer: str | None = None
    expires_at: datetime | None = None
    slug: str | None = None
    owner: str | None = None
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientEdit:
    """What an edit asks for; None leaves a thing as it is. Nothing of it has been checked yet."""

    name: str | None = None
    slug: str | None = None
    owner: str | None = None
    description: str | None = None
    labels: Mapping[str, str] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProof:
    """A further proof for a client: that of `platform`, as at onboarding; nothing of it has been checked yet."""

    platform: str
    selectors: tuple[tuple[str, str], ...] = ()
    public_key: str | None = field(default=None, repr=False)  # somebody will paste a private one
    trusted_issuer: str | None = None
    expires_at: datetime | None = None


def parse_platform(text: str) -> Platform:
    """The platform. Raises `Invalid`, naming those there are."""
    try:
        return Platform(text)
    except ValueError:
        raise Invalid("platform", f"{naming.quoted(text)} is no platform.", f"One of: {', '.join(Platform)}") from None


def spiffe_id(trust_domain: str, client_id: str) -> str:
    """The client's SPIFFE ID. Nothing that a person typed goes into it: it cannot be made to look like another."""
    return f"spiffe://{trust_domain}/agent/{client_id}"


def parse_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels, sorted by name. Raises `Invalid`, naming the label."""
    if len(labels) > MAX_LABELS:
        raise Invalid("labels", f"There are more than {MAX_LABELS} labels.")
    for key in labels:
        if not _LABEL.fullmatch(key):
            raise Invalid(
                "labels",
                f"{naming.quoted(key)} is no name for a label.",
                "1 to 63 lower-case letters, digits, '.', '_', '/', '-'; e.g. team",
            )
    return {key: naming.name(f"labels.{key}", labels[key]) for key in sorted(labels)}


def _last_end(held: Iterable[Proof]) -> datetime | None:
    return max((proof.expires_at or NEVER for proof in held), default=None)


def _reaches(end: datetime | None, now: datetime) -> bool:
    return end is not None and now < end
