"""Trust sources and clients whose proofs rest on them, made by the rooms' own verbs."""

from __future__ import annotations

from typing import Any

from authsec_server.clients import service
from authsec_server.clients.model import Client, Onboarding
from authsec_server.db import Database
from authsec_server.principal import Act
from authsec_server.sources import service as sources
from authsec_server.sources.model import ProposedSource, SourceKind, TrustSource
from workload_evidence import GITHUB_CLAIMS, Issuer, github, kubernetes, spire

OURS = "authsec.internal"
SEEN = (("k8s:ns", "production"), ("k8s:sa", "support"))


def register(database: Database, act: Act, issuer: Issuer, name: str = "") -> TrustSource:
    """The source of that issuer, registered by its keys."""
    known = issuer.source
    asked = ProposedSource(
        name=name or known.name,
        kind=known.kind,
        issuer=known.issuer,
        keys_from="given",
        given_keys=issuer.jwks,
        claims=GITHUB_CLAIMS if known.kind is SourceKind.OIDC else {},
    )
    return database.change(lambda tx: sources.create(tx, act, asked))


def cluster(database: Database, act: Act, name: str = "cluster-a", **what: Any) -> TrustSource:
    """A Kubernetes cluster with an issuer of its own."""
    return register(database, act, kubernetes(name, issuer=f"https://{name}.example", **what))


def our_spire(database: Database, act: Act) -> TrustSource:
    """The SPIRE that gives workloads the SPIFFE IDs of this authority's clients."""
    return register(database, act, spire("spire", issuer=OURS))


def actions(database: Database, act: Act) -> TrustSource:
    """GitHub Actions."""
    return register(database, act, github())


def onboard(database: Database, act: Act, name: str = "Support", **what: Any) -> Client:
    """A client, by default one of Kubernetes."""
    wanted = Onboarding(name=name, **({"platform": "kubernetes", "selectors": SEEN} | what))
    return database.change(lambda tx: service.create(tx, act, wanted, trust_domain=OURS))
