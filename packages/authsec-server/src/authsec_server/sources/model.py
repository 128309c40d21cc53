"""Trust sources: whose word counts for which selectors, and by which keys its word is known. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"})
"""What a source may sign with: what Kubernetes and SPIFFE (JWT-SVID section 3) allow. Any other is refused."""


class KeysUnavailable(Exception):
    """The keys of a source cannot be had now, so nothing of it can be checked. For the operator, not for callers."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class SourceKind(StrEnum):
    """What vouches for a workload."""

    KUBERNETES = "kubernetes"
    SPIFFE = "spiffe"
    OIDC = "oidc"

    @property
    def shown(self) -> str:
        """Its name for people."""
        return {"kubernetes": "Kubernetes cluster", "spiffe": "SPIFFE trust domain", "oidc": "OpenID Connect issuer"}[
            self.value
        ]


class KeysFrom(StrEnum):
    """Where the keys come from that sign its tokens."""

    DISCOVERY = "discovery"  # OpenID Connect Discovery at the issuer; not for SPIFFE
    URL = "url"  # a JWK Set, or a SPIFFE bundle, served at an address
    GIVEN = "given"  # pasted by an administrator


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustSource:
    """Whose word counts. `issuer` is the `iss` of its tokens to the letter; for SPIFFE it is the trust domain's name.

    `audience` is what its tokens must be for, alone; empty means this authority's own issuer. `claims` says which claim
    of an OpenID Connect issuer is which selector: `github:repository` → `repository`. `ca` holds the certificates
    (PEM) that count when its keys are fetched, beside nothing else; empty means the system's.
    """

    id: str
    slug: str
    name: str
    kind: SourceKind
    issuer: str
    keys_from: KeysFrom
    keys_url: str = ""
    given_keys: Mapping[str, Any] | None = field(default=None, hash=False)  # a JWK Set (RFC 7517 section 5)
    ca: str = ""
    audience: str = ""
    claims: Mapping[str, str] = field(default_factory=dict, hash=False)
    enabled: bool = True
    created_at: datetime
    revision: int = 1
    changed_at: datetime | None = None
    changed_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptKeys:
    """What the database keeps of keys that are fetched: the last good set, and how the last try failed, if it did.

    `refresh_seconds` after `fetched_at` a new one is wanted. All three are None until the first set.
    """

    jwks: Mapping[str, Any] | None = field(default=None, hash=False)
    fetched_at: datetime | None = None
    refresh_seconds: int | None = None
    failed_at: datetime | None = None
    failure: str = ""


class Provenance(StrEnum):
    """How a source proves a selector, if it can."""

    TOKEN = "token"  # noqa: S105 - where it is read from: a claim of the signed token
    SPIRE = "spire"  # SPIRE checked it before it gave the workload its SPIFFE ID
    NEVER = "never"

    @property
    def shown(self) -> str:
        """In words, for people."""
        return {
            "token": "proved by the token",
            "spire": "enforced by SPIRE",
            "never": "cannot be proved by this source",
        }[self.value]


_IN_KUBERNETES_TOKENS = frozenset({"k8s:ns", "k8s:sa", "k8s:pod-name", "k8s:pod-uid", "k8s:node-name"})
_IN_SVIDS = frozenset({"spiffe:id"})
_SPIRE_ENFORCES = ("k8s:", "docker:", "unix:")


def provenance(source: TrustSource, key: str) -> Provenance:
    """How `source` proves the selector `key`."""
    if source.kind is SourceKind.KUBERNETES:
        return Provenance.TOKEN if key in _IN_KUBERNETES_TOKENS else Provenance.NEVER
    if source.kind is SourceKind.SPIFFE:
        if key in _IN_SVIDS:
            return Provenance.TOKEN
        return Provenance.SPIRE if key.startswith(_SPIRE_ENFORCES) else Provenance.NEVER
    return Provenance.TOKEN if key in source.claims else Provenance.NEVER


def provable(source: TrustSource) -> tuple[str, ...]:
    """The selectors that its tokens prove by themselves, sorted."""
    if source.kind is SourceKind.KUBERNETES:
        return tuple(sorted(_IN_KUBERNETES_TOKENS))
    return tuple(sorted(_IN_SVIDS if source.kind is SourceKind.SPIFFE else source.claims))
