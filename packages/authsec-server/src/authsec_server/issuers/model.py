"""Trusted issuers: the selectors that each issuer can prove, and the keys that verify its tokens. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any


class LookupUnavailable(Exception):
    """A cluster cannot be asked at the moment, so it proves nothing.

    The message is for the operator and is not shown to callers.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Lookup(StrEnum):
    """The kinds of look-ups: questions that this server can ask the API server of a cluster."""

    TOKEN_REVIEW = "token_review"  # noqa: S105 - the name of a question
    POD_LOOKUP = "pod_lookup"

    @property
    def shown(self) -> str:
        """Return the name of the look-up, as the console and messages show it."""
        return {"token_review": "Token review", "pod_lookup": "Pod look-up"}[self.value]

    @property
    def permission(self) -> str:
        """Return the permission that the look-up needs in the cluster, as a verb and its object."""
        return {"token_review": "create tokenreviews", "pod_lookup": "get pods"}[self.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupState:
    """The times of the last answer and the last failure of a look-up. None means never.

    `failure` is the reason of the last failure, as a clause.
    """

    answered_at: datetime | None = None
    failed_at: datetime | None = None
    failure: str = ""

    @property
    def failing(self) -> bool:
        """Return whether the last look-up failed."""
        return self.failed_at is not None and (self.answered_at is None or self.answered_at < self.failed_at)


ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"})
"""The signature algorithms of trusted issuers: those that Kubernetes and SPIFFE (JWT-SVID section 3) allow. All other
algorithms are refused."""


class KeysUnavailable(Exception):
    """The keys of a trusted issuer are not available, so its tokens cannot be verified.

    The message is for the operator and is not shown to callers.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class TrustedIssuerKind(StrEnum):
    """The kinds of trusted issuers."""

    KUBERNETES = "kubernetes"
    SPIFFE = "spiffe"
    OIDC = "oidc"

    @property
    def shown(self) -> str:
        """Return the name of the kind, as the console and messages show it."""
        return {"kubernetes": "Kubernetes cluster", "spiffe": "SPIFFE trust domain", "oidc": "OpenID Connect issuer"}[
            self.value
        ]


class KeysFrom(StrEnum):
    """The origin of the keys that sign the tokens of a trusted issuer."""

    DISCOVERY = "discovery"  # OpenID Connect Discovery at the issuer; not for SPIFFE
    URL = "url"  # a JWK Set, or a SPIFFE bundle, served at an address
    GIVEN = "given"  # pasted by an administrator


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterApi:
    """The API server of a Kubernetes cluster, and the look-ups that are turned on.

    - `ca` has the certificates (PEM) for this server alone. If it is empty, the certificates of the settings
      are used.
    - `credentials` is the name of a file in the operator's folder for credentials. Only a file name is allowed,
      so that this server never sends another of its files to the cluster.
    - `reviews` turns token reviews on: the cluster is asked whether each token is still valid (TokenReview).
    - `pods` turns pod look-ups on: the cluster is asked about the pod of the token.
    """

    url: str
    ca: str = ""
    credentials: str
    reviews: bool = False
    pods: bool = False

    @property
    def asked(self) -> bool:
        """Return whether any look-up is turned on."""
        return self.reviews or self.pods


CLUSTER_TERMS: Mapping[str, str] = {
    "api_server": "url",
    "api_ca": "ca",
    "credentials": "credentials",
    "token_review": "reviews",
    "pod_lookup": "pods",
}
"""The terms about the cluster of a trusted issuer, each with its field of `ClusterApi`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedIssuerTerms:
    """The fields of a trusted issuer that a person sets.

    - `issuer` is the exact `iss` of its tokens, or a SPIFFE trust domain.
    - `ca` has the only certificates (PEM) that are trusted when its keys are fetched. If it is empty, the
      certificates of the settings are used.
    - `audience` must be the only audience of its tokens. If it is empty, that is this authority's own issuer.
    - `claims` maps selectors to claims of an OpenID Connect issuer: `github:repository` → `repository`.
    - `api_server` and the fields after it are the fields of `ClusterApi`.
    """

    name: str
    kind: str
    issuer: str
    keys_from: str
    keys_url: str = ""
    given_keys: Mapping[str, Any] | None = field(default=None, hash=False, repr=False)  # somebody pastes private ones
    ca: str = ""
    audience: str = ""
    claims: Mapping[str, str] = field(default_factory=dict, hash=False)
    api_server: str = ""
    api_ca: str = ""
    credentials: str = ""
    token_review: bool = False
    pod_lookup: bool = False


TERMS = tuple(each.name for each in fields(TrustedIssuerTerms))
"""The names of the terms. A new term also needs a check in `validation`, a JSON type in `api`, and inputs in the
template `issuers/form.html` and the command line. All other code reads this list. The store puts a term without a
column into `configuration`."""
EDITABLE = tuple(name for name in TERMS if name != "kind")
"""The terms that an edit can change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedIssuer(TrustedIssuerTerms):
    """An issuer whose tokens prove selectors. Its terms are verified."""

    id: str
    slug: str
    kind: TrustedIssuerKind
    keys_from: KeysFrom
    enabled: bool = True
    created_at: datetime
    revision: int = 1
    changed_at: datetime | None = None
    changed_by: str = ""

    @property
    def cluster(self) -> ClusterApi | None:
        """Return the API server of a Kubernetes cluster; None if the terms name none."""
        if not self.api_server:
            return None
        return ClusterApi(**{its: getattr(self, name) for name, its in CLUSTER_TERMS.items()})


def plain_terms(trusted_issuer: TrustedIssuer) -> dict[str, Any]:
    """Return the terms as JSON, by name."""
    return {name: _plain(getattr(trusted_issuer, name)) for name in TERMS}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    return value.value if isinstance(value, StrEnum) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptKeys:
    """The stored keys of a trusted issuer: the last valid key set and the reason of a later failure.

    A new key set should be fetched `refresh_seconds` after `fetched_at`. `jwks`, `fetched_at` and
    `refresh_seconds` are None until the first fetch succeeds.
    """

    jwks: Mapping[str, Any] | None = field(default=None, hash=False)
    fetched_at: datetime | None = None
    refresh_seconds: int | None = None
    failed_at: datetime | None = None
    failure: str = ""


class Provenance(StrEnum):
    """How a trusted issuer proves a selector, or that it never can."""

    TOKEN = "token"  # noqa: S105 - where it is read from: a claim of the signed token
    LOOKUP = "lookup"  # the cluster's API server was asked about the token's pod
    SPIRE = "spire"  # SPIRE checked the selector before it issued the SPIFFE ID
    NEVER = "never"

    @property
    def shown(self) -> str:
        """Describe in words, for people, how the selector is proved."""
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
    """Return how the trusted issuer proves the selector `key`."""
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
    """Describe for people how the selector `key` is proved. The text claims no more than a look-up proves."""
    return _OF_A_CONTAINER.get(key, how.shown) if how is Provenance.LOOKUP else how.shown


def by_lookup(key: str) -> bool:
    """Return whether a pod look-up can prove the selector `key`."""
    return any(key.startswith(each[:-1]) if each.endswith("*") else key == each for each in _BY_LOOKUP)


def looks_up_pods(trusted_issuer: TrustedIssuer) -> bool:
    """Return whether pod look-ups are turned on for the trusted issuer."""
    return trusted_issuer.cluster is not None and trusted_issuer.cluster.pods


def provable(trusted_issuer: TrustedIssuer) -> tuple[str, ...]:
    """List the selector keys that tokens or look-ups of the trusted issuer prove, sorted.

    `*` means the variable part of a key.
    """
    if trusted_issuer.kind is TrustedIssuerKind.KUBERNETES:
        return tuple(sorted([*_IN_KUBERNETES_TOKENS, *(_BY_LOOKUP if looks_up_pods(trusted_issuer) else ())]))
    return tuple(sorted(_IN_SVIDS if trusted_issuer.kind is TrustedIssuerKind.SPIFFE else trusted_issuer.claims))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedTrustedIssuer(TrustedIssuerTerms):
    """Unverified request to add a trusted issuer.

    Without `slug`, the slug is made from the name. `preset` names the claims of a well-known issuer
    (`PRESETS`). `claims` are added to the claims of the preset.
    """

    slug: str | None = None
    preset: str = ""
