"""Tokens of workloads, claim for claim as Kubernetes, SPIRE and GitHub Actions make them, signed with keys of ours."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from authsec.jose import PrivateKey, PublicKey
from authsec_server.issuers.model import KeysFrom, TrustedIssuer, TrustedIssuerKind

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
US = "http://127.0.0.1:7468"
RSA, OTHER_RSA, EC = PrivateKey.generate_rsa(), PrivateKey.generate_rsa(), PrivateKey.generate_ec()
CLUSTER = "https://kubernetes.default.svc.cluster.local"
GITHUB = "https://token.actions.githubusercontent.com"
GITHUB_CLAIMS = {
    "oidc:sub": "sub",
    "github:repository": "repository",
    "github:repository_id": "repository_id",
    "github:ref": "ref",
    "github:environment": "environment",
}


@dataclass
class Issuer:
    """A trusted issuer and the key that it signs with; whoever has this can make its tokens."""

    trusted_issuer: TrustedIssuer
    key: PrivateKey
    kid: str = "one"
    now: datetime = NOW
    header: Mapping[str, Any] = field(default_factory=dict)

    @property
    def jwks(self) -> dict[str, Any]:
        """Its published keys."""
        use = "jwt-svid" if self.trusted_issuer.kind is TrustedIssuerKind.SPIFFE else "sig"
        return {"keys": [self.key.public.to_jwk() | {"kid": self.kid, "use": use}]}

    def token(self, *, header: Mapping[str, Any] | None = None, key: PrivateKey | None = None, **changes: Any) -> str:
        """A token of now; `changes` spoil its claims, and None leaves one out."""
        signer = key or self.key
        head = {"alg": signer.algorithm, "kid": self.kid} | dict(self.header) | dict(header or {})
        return sign(_given(head), _given(self.claims() | changes), signer)

    def claims(self) -> dict[str, Any]:
        """Its claims, of the workload that the tests are about."""
        seconds = int(self.now.timestamp())
        return {
            TrustedIssuerKind.KUBERNETES: kubernetes_claims,
            TrustedIssuerKind.SPIFFE: svid_claims,
            TrustedIssuerKind.OIDC: github_claims,
        }[self.trusted_issuer.kind](seconds) | (
            {} if self.trusted_issuer.kind is TrustedIssuerKind.SPIFFE else {"iss": self.trusted_issuer.issuer}
        )


def kubernetes(id_: str = "cluster-a", key: PrivateKey = RSA, **changes: Any) -> Issuer:
    """A cluster: its tokens name their key and nothing else in the header."""
    return Issuer(trusted_issuer(id_, TrustedIssuerKind.KUBERNETES, changes.pop("issuer", CLUSTER), **changes), key)


def spire(id_: str = "spire-a", key: PrivateKey = EC, **changes: Any) -> Issuer:
    """A SPIRE server of the trust domain example.org."""
    its = trusted_issuer(id_, TrustedIssuerKind.SPIFFE, changes.pop("issuer", "example.org"), **changes)
    return Issuer(its, key, header={"typ": "JWT"})


def github(id_: str = "github", key: PrivateKey = OTHER_RSA, **changes: Any) -> Issuer:
    """GitHub Actions."""
    its = trusted_issuer(
        id_, TrustedIssuerKind.OIDC, changes.pop("issuer", GITHUB), **({"claims": GITHUB_CLAIMS} | changes)
    )
    return Issuer(its, key, header={"typ": "JWT", "x5t": "ykNaY4qM_ta4k2TgZOCEYLkcYlA"})


def trusted_issuer(id_: str, kind: TrustedIssuerKind, issuer: str, **changes: Any) -> TrustedIssuer:
    its = TrustedIssuer(
        id=id_, slug=id_, name=id_, kind=kind, issuer=issuer, keys_from=KeysFrom.GIVEN, created_at=NOW, revision=1
    )
    return replace(its, **changes)


def finder(*issuers: Issuer) -> Any:
    """Finds the keys of these, as `KeySets.find` does."""
    keys = {(each.trusted_issuer.id, each.kid): each.key.public for each in issuers}

    def find(trusted_issuer: TrustedIssuer, kid: str) -> PublicKey | None:
        return keys.get((trusted_issuer.id, kid))

    return find


def kubernetes_claims(seconds: int) -> dict[str, Any]:
    """As the kubelet of Kubernetes 1.30 and later projects them."""
    return {
        "aud": [US],
        "exp": seconds + 3600,
        "iat": seconds,
        "jti": "6c0ab3a7-6dd1-4a3a-9f3c-0c8fb2a0f2b4",
        "kubernetes.io": {
            "namespace": "production",
            "node": {"name": "worker-1", "uid": "2d1a1fba-6b5b-4ea4-9d0b-2ac5b7bd0f31"},
            "pod": {"name": "customer-support-7f9c5b4d6-x2x7k", "uid": "5b2cb9d4-4a36-4f5b-9f0e-8d6a9a0f1c22"},
            "serviceaccount": {"name": "customer-support-sa", "uid": "b1fb3d0c-33c5-4d77-bbcb-8d2b1f6a4a10"},
            "warnafter": seconds + 3607,
        },
        "nbf": seconds,
        "sub": "system:serviceaccount:production:customer-support-sa",
    }


def svid_claims(seconds: int) -> dict[str, Any]:
    """As SPIRE makes them without `jwt_issuer`; with one there are `iss` and `jti` as well."""
    return {
        "aud": [US],
        "exp": seconds + 300,
        "iat": seconds,
        "sub": "spiffe://example.org/ns/production/sa/customer-support-sa",
    }


def github_claims(seconds: int) -> dict[str, Any]:
    """As GitHub Actions makes them for a job with an environment."""
    return {
        "jti": "f2a1e3c0-9d1b-4a0e-8f52-7f3a0f4c1f10",
        "sub": "repo:example/support-agent:environment:production",
        "aud": US,
        "ref": "refs/heads/main",
        "sha": "5f1d3b8e7a6c4d2f9b0e1c3a5d7f9b1e3c5a7d9f",
        "repository": "example/support-agent",
        "repository_owner": "example",
        "repository_owner_id": "8122341",
        "run_id": "11223344556",
        "run_number": "42",
        "run_attempt": "1",
        "repository_visibility": "private",
        "repository_id": "655361111",
        "actor_id": "12345678",
        "actor": "octocat",
        "workflow": "nightly",
        "head_ref": "",
        "base_ref": "",
        "event_name": "schedule",
        "ref_protected": "true",
        "ref_type": "branch",
        "workflow_ref": "example/support-agent/.github/workflows/nightly.yml@refs/heads/main",
        "workflow_sha": "5f1d3b8e7a6c4d2f9b0e1c3a5d7f9b1e3c5a7d9f",
        "job_workflow_ref": "example/support-agent/.github/workflows/nightly.yml@refs/heads/main",
        "job_workflow_sha": "5f1d3b8e7a6c4d2f9b0e1c3a5d7f9b1e3c5a7d9f",
        "runner_environment": "github-hosted",
        "environment": "production",
        "enterprise": "example-inc",
        "iss": GITHUB,
        "nbf": seconds - 600,
        "exp": seconds + 300,
        "iat": seconds,
    }


def sign(header: Mapping[str, Any], claims: Mapping[str, Any] | bytes, key: PrivateKey) -> str:
    """Whatever it is, signed: here nothing is strict."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    unsigned = encoded(json.dumps(header).encode()) + "." + encoded(payload)
    return unsigned + "." + encoded(key.sign(unsigned.encode()))


def encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _given(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
