"""Asks attestation about a client and what a caller shows, without any database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from authsec_server.attestation.model import Evidence, Proved, RefusalReason, Refused, Scheme
from authsec_server.attestation.service import attest
from authsec_server.attestation.workloads import Workloads
from authsec_server.clients.model import Client, ClientKind, Platform, Proof, ProofKind, Selector
from authsec_server.issuers.model import TrustedIssuerKind
from workload_evidence import NOW, US, Issuer, finder, spire

CLIENT_ID = "123e4567-e89b-42d3-a456-426614174000"
OWN_ID = f"spiffe://example.org/agent/{CLIENT_ID}"
HELPER = (("k8s:ns", "production"), ("k8s:sa", "customer-support-sa"))
SECONDS = int(NOW.timestamp())
SHOWN = {
    TrustedIssuerKind.KUBERNETES: HELPER,
    TrustedIssuerKind.SPIFFE: (("spiffe:id", spire().claims()["sub"]),),
    TrustedIssuerKind.OIDC: (("github:repository", "example/support-agent"),),
}


def proof(issuer: Issuer, *selectors: tuple[str, str], id_: str = "p1", **changes: Any) -> Proof:
    held = tuple(Selector(key=key, value=value) for key, value in selectors)
    fields = {
        "id": id_,
        "client_id": CLIENT_ID,
        "kind": ProofKind.SELECTORS,
        "trusted_issuer_id": issuer.trusted_issuer.id,
    }
    return Proof(**(fields | {"selectors": held, "created_at": NOW} | changes))


def client(*proofs: Proof) -> Client:
    return Client(
        id=CLIENT_ID,
        slug="agent",
        name="Agent",
        kind=ClientKind.AI_AGENT,
        platform=Platform.KUBERNETES,
        owner="",
        description="",
        labels={},
        enabled=True,
        created_at=NOW,
        proofs=proofs,
    )


def ask(credential: str, issuers: Sequence[Issuer], *proofs: Proof, now: Any = NOW, find: Any = None) -> Any:
    return attest(
        client(*proofs),
        {each.trusted_issuer.id: each.trusted_issuer for each in issuers},
        Evidence(scheme=Scheme.BEARER, credential=credential),
        workloads=Workloads(find or finder(*issuers), issuer=US, trust_domain="example.org"),
        issuer=US,
        now=now,
    )


def proved(outcome: Proved | Refused) -> Proved:
    assert isinstance(outcome, Proved), outcome
    return outcome


def refused(outcome: Proved | Refused, reason: RefusalReason = RefusalReason.INVALID) -> Refused:
    assert isinstance(outcome, Refused), outcome
    assert outcome.reason is reason
    return outcome
