"""Trusted issuers, the selectors that each can prove, and their keys. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class LookupUnavailable(Exception):
    """A cluster cannot be asked now, so nothing is proved by it. For the operator, not for callers."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Lookup(StrEnum):
    """What is asked of a cluster's API server."""

    TOKEN_REVIEW = "token_review"  # noqa: S105 - the name of a question
    POD_LOOKUP = "pod_lookup"

    @property
    def shown(self) -> str:
        """Its name for people."""
        return {"token_review": "Token review", "pod_lookup": "Pod look-up"}[self.value]

    @property
    def permission(self) -> str:
        """What the cluster has to permit for it, as a verb and its object."""
        return {"token_review": "create tokenreviews", "pod_lookup": "get pods"}[self.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupState:
    """When the cluster answered last, and when it last did not and why, in a clause; None and empty for never."""

    answered_at: datetime | None = None
    failed_at: datetime | None = None
    failure: str = ""

    @property
    def failing(self) -> bool:
        """Whether the last try failed."""
        return self.failed_at is not None and (self.answered_at is None or self.answered_at < self.failed_at)


ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"})
"""What a trusted issuer may sign with: what Kubernetes and SPIFFE (JWT-SVID section 3) allow. Any other is refused."""


class KeysUnavailable(Exception):
    """The keys of a trusted issuer are not known now, so no token of it can be verified. For the operator only."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class TrustedIssuerKind(StrEnum):
    """What signs the token of a workload."""

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
class ClusterApi:
    """The API server of a Kubernetes cluster, and what it is asked beyond what its tokens say.

    `ca` holds the certificates (PEM) that count for it alone; empty means the system's. `credentials` is the name of a
    file in the folder that the operator keeps for this: a name, so that no other file of the server goes anywhere.
    `reviews`: of each token, whether it still counts (TokenReview). `pods`: what there is to know of the token's pod.
    """

    url: str
    ca: str = ""
    credentials: str
    reviews: bool = False
    pods: bool = False

    @property
    def asked(self) -> bool:
        """Whether it is asked anything at all."""
        return self.reviews or self.pods


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedIssuer:
    """Signs tokens of workloads. `issuer` is the `iss` of its tokens to the letter; for SPIFFE, the trust domain.

    `audience` is what its tokens must be for, alone; empty means this authority's own issuer. `claims` says which claim
    of an OpenID Connect issuer is which selector: `github:repository` → `repository`. `ca` holds the certificates
    (PEM) that count when its keys are fetched, beside nothing else; empty means the system's. `cluster` is the API
    server of a Kubernetes cluster, where one may be asked.
    """

    id: str
    slug: str
    name: str
    kind: TrustedIssuerKind
    issuer: str
    keys_from: KeysFrom
    keys_url: str = ""
    given_keys: Mapping[str, Any] | None = field(default=None, hash=False)  # a JWK Set (RFC 7517 section 5)
    ca: str = ""
    audience: str = ""
    claims: Mapping[str, str] = field(default_factory=dict, hash=False)
    cluster: ClusterApi | None = None
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
    """How a trusted issuer proves a selector, if it can."""

    TOKEN = "token"  # noqa: S105 - where it is read from: a claim of the signed token
    LOOKUP = "lookup"  # the cluster's API server was asked about the token's pod
    SPIRE = "spire"  # SPIRE checked it before it gave the workload its SPIFFE ID
    NEVER = "never"

    @property
    def shown(self) -> str:
        """In words, for people."""
        return {
            "token": "proved by the token",
            "lookup": "proved by look-up",
            "spire": "enforced by SPIRE",
            "never": "cannot be proved by this trusted issuer",
        }[self.value]


_IN_KUBERNETES_TOKENS = frozenset({"k8s:ns", "k8s:sa", "k8s:pod-name", "k8s:pod-uid", "k8s:node-name"})
_OF_A_CONTAINER = {  # a token is bound to its pod, never to one of the containers there
    "k8s:container-name": "by look-up: the pod has such a container",
    "k8s:container-image": "by look-up: the pod has a container of this image",
}
_BY_LOOKUP = ("k8s:container-image", "k8s:container-name", "k8s:pod-label:*", "k8s:pod-owner:*")
_IN_SVIDS = frozenset({"spiffe:id"})
_SPIRE_ENFORCES = ("k8s:", "docker:", "unix:")


def provenance(trusted_issuer: TrustedIssuer, key: str) -> Provenance:
    """How `trusted_issuer` proves the selector `key`."""
    if trusted_issuer.kind is TrustedIssuerKind.KUBERNETES:
        if key in _IN_KUBERNETES_TOKENS:
            return Provenance.TOKEN
        return Provenance.LOOKUP if looks_up_pods(trusted_issuer) and by_lookup(key) else Provenance.NEVER
    if trusted_issuer.kind is TrustedIssuerKind.SPIFFE:
        if key in _IN_SVIDS:
            return Provenance.TOKEN
        return Provenance.SPIRE if key.startswith(_SPIRE_ENFORCES) else Provenance.NEVER
    return Provenance.TOKEN if key in trusted_issuer.claims else Provenance.NEVER


def shown_provenance(key: str, how: Provenance) -> str:
    """In words, for people, how the selector `key` is proved: exactly what a look-up tells, and no more."""
    return _OF_A_CONTAINER.get(key, how.shown) if how is Provenance.LOOKUP else how.shown


def by_lookup(key: str) -> bool:
    """Whether a cluster that is asked about a pod can tell the selector `key`."""
    return any(key.startswith(each[:-1]) if each.endswith("*") else key == each for each in _BY_LOOKUP)


def looks_up_pods(trusted_issuer: TrustedIssuer) -> bool:
    """Whether the trusted issuer's pods are looked up."""
    return trusted_issuer.cluster is not None and trusted_issuer.cluster.pods


def provable(trusted_issuer: TrustedIssuer) -> tuple[str, ...]:
    """The selectors that it proves by its tokens or by look-up, sorted; `*` stands for what completes a key."""
    if trusted_issuer.kind is TrustedIssuerKind.KUBERNETES:
        return tuple(sorted([*_IN_KUBERNETES_TOKENS, *(_BY_LOOKUP if looks_up_pods(trusted_issuer) else ())]))
    return tuple(sorted(_IN_SVIDS if trusted_issuer.kind is TrustedIssuerKind.SPIFFE else trusted_issuer.claims))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedTrustedIssuer:
    """A trusted issuer to be registered; the words are those of `TrustedIssuer`.

    Without `slug` the name makes one. `preset` names claims of a well-known issuer (`presets`), and `claims` come on
    top of it. `api_server` and what follows it become the trusted issuer's `cluster`.
    """

    name: str
    kind: str
    issuer: str
    keys_from: str
    slug: str | None = None
    keys_url: str = ""
    given_keys: Mapping[str, Any] | None = field(default=None, hash=False, repr=False)  # somebody pastes private ones
    ca: str = ""
    audience: str = ""
    claims: Mapping[str, str] = field(default_factory=dict, hash=False)
    preset: str = ""
    api_server: str = ""
    api_ca: str = ""
    credentials: str = ""
    token_review: bool = False
    pod_lookup: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedIssuerEdit:
    """What an edit asks for; None leaves a thing as it is. With another `keys_from`, the old address, keys and
    certificates are forgotten unless they are given anew; with another `api_server`, its certificates alike.
    """

    name: str | None = None
    issuer: str | None = None
    keys_from: str | None = None
    keys_url: str | None = None
    given_keys: Mapping[str, Any] | None = field(default=None, hash=False, repr=False)
    ca: str | None = None
    audience: str | None = None
    claims: Mapping[str, str] | None = field(default=None, hash=False)
    api_server: str | None = None
    api_ca: str | None = None
    credentials: str | None = None
    token_review: bool | None = None
    pod_lookup: bool | None = None
