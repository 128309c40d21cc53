"""Trusted issuers and clients whose proofs rest on them, made by the rooms' own verbs."""

from __future__ import annotations

from typing import Any

from authsec_server.clients import service
from authsec_server.clients.model import Client, Onboarding
from authsec_server.db import Database
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import ProposedTrustedIssuer, TrustedIssuer, TrustedIssuerKind
from authsec_server.principal import Act
from workload_evidence import GITHUB_CLAIMS, Issuer, github, kubernetes, spire

OURS = "authsec.internal"
SEEN = (("k8s:ns", "production"), ("k8s:sa", "support"))


def register(database: Database, act: Act, issuer: Issuer, name: str = "") -> TrustedIssuer:
    """The trusted issuer of that issuer, registered by its keys."""
    known = issuer.trusted_issuer
    asked = ProposedTrustedIssuer(
        name=name or known.name,
        kind=known.kind,
        issuer=known.issuer,
        keys_from="given",
        given_keys=issuer.jwks,
        claims=GITHUB_CLAIMS if known.kind is TrustedIssuerKind.OIDC else {},
    )
    return database.change(lambda tx: issuers.create(tx, act, asked))


def cluster(database: Database, act: Act, name: str = "cluster-a", **what: Any) -> TrustedIssuer:
    """A Kubernetes cluster with an issuer of its own."""
    return register(database, act, kubernetes(name, issuer=f"https://{name}.example", **what))


def our_spire(database: Database, act: Act) -> TrustedIssuer:
    """The SPIRE that gives workloads the SPIFFE IDs of this authority's clients."""
    return register(database, act, spire("spire", issuer=OURS))


def actions(database: Database, act: Act) -> TrustedIssuer:
    """GitHub Actions."""
    return register(database, act, github())


def onboard(database: Database, act: Act, name: str = "Support", **what: Any) -> Client:
    """A client, by default one of Kubernetes."""
    wanted = Onboarding(name=name, **({"platform": "kubernetes", "selectors": SEEN} | what))
    return database.change(lambda tx: service.create(tx, act, wanted, trust_domain=OURS))
