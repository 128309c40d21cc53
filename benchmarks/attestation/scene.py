"""A cluster that vouches for an agent, an agent with a key pair, and what each of them shows."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from authsec.jose import PrivateKey, sign_compact
from authsec_server.attestation.model import Evidence, Proved, Scheme
from authsec_server.attestation.service import attest
from authsec_server.attestation.workloads import Workloads
from authsec_server.clients.model import Client, ClientKind, Platform, Proof, ProofKind, Selector
from authsec_server.db import open_database
from authsec_server.issuers.key_sets import KeySets
from authsec_server.issuers.model import KeysFrom, TrustedIssuer, TrustedIssuerKind
from authsec_server.outbound import outbound_of
from authsec_server.settings import load_settings

NOW = datetime.now(UTC)
US = "https://authsec.example.com"
CLUSTER = "https://kubernetes.default.svc.cluster.local"
ID = "123e4567-e89b-42d3-a456-426614174000"
SELECTORS = {"k8s:ns": "production", "k8s:sa": "customer-support-sa"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The authority's side: a client with both proofs, the cluster, and where its keys are found."""

    client: Client
    trusted_issuer: TrustedIssuer
    find_key: KeySets

    def fresh(self) -> Callable[[str], None]:
        """What attests a token, and has seen none before. It ends the run if one is refused."""
        workloads = Workloads(self.find_key.find, issuer=US, trust_domain="example.com")
        trusted_issuers = {self.trusted_issuer.id: self.trusted_issuer}

        def ask(token: str) -> None:
            evidence = Evidence(scheme=Scheme.BEARER, credential=token)
            found = attest(self.client, trusted_issuers, evidence, workloads=workloads, issuer=US, now=NOW)
            if not isinstance(found, Proved):
                raise SystemExit(f"refused: {found.details}")

        return ask


@contextmanager
def scene(cluster: PrivateKey, agent: PrivateKey) -> Iterator[Scene]:
    """The scene, for a cluster and an agent with these keys."""
    jwks = {"keys": [{**cluster.public.to_jwk(), "kid": cluster.public.thumbprint(), "use": "sig"}]}
    trusted_issuer = TrustedIssuer(
        id="cluster", slug="cluster", name="Cluster", kind=TrustedIssuerKind.KUBERNETES, issuer=CLUSTER,
        keys_from=KeysFrom.GIVEN, given_keys=jwks, created_at=NOW,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(data=folder)
        database = open_database(f"sqlite:///{Path(folder) / 'authsec.sqlite3'}")
        outbound = outbound_of(settings, time.monotonic)
        key_sets = KeySets(database, outbound, now=lambda: NOW, monotonic=time.monotonic)
        yield Scene(client=_client(trusted_issuer, agent), trusted_issuer=trusted_issuer, find_key=key_sets)
        database.close()


def _client(trusted_issuer: TrustedIssuer, agent: PrivateKey) -> Client:
    selectors = tuple(Selector(key=key, value=value) for key, value in SELECTORS.items())
    of_cluster = Proof(
        id="pod",
        client_id=ID,
        kind=ProofKind.SELECTORS,
        trusted_issuer_id=trusted_issuer.id,
        selectors=selectors,
        created_at=NOW,
    )
    of_key = Proof(
        id="key", client_id=ID, kind=ProofKind.KEY_PAIR, public_key=agent.public.to_jwk(),
        thumbprint=agent.public.thumbprint(), created_at=NOW,
    )  # fmt: skip
    return Client(
        id=ID, slug="agent", name="Agent", kind=ClientKind.AI_AGENT, platform=Platform.KUBERNETES, owner="",
        description="", labels={}, enabled=True, created_at=NOW, proofs=(of_cluster, of_key),
    )  # fmt: skip


def pods_token(cluster: PrivateKey, audience: str = US) -> str:
    """A projected service account token, claim for claim as a kubelet of Kubernetes 1.30 and later mounts it."""
    seconds = int(NOW.timestamp())
    account = SELECTORS["k8s:sa"]
    claims = {
        "aud": [audience],
        "exp": seconds + 3600,
        "iat": seconds,
        "iss": CLUSTER,
        "jti": str(uuid4()),
        "kubernetes.io": {
            "namespace": SELECTORS["k8s:ns"],
            "node": {"name": "worker-1", "uid": str(uuid4())},
            "pod": {"name": "customer-support-7f9c5b4d6-x2x7k", "uid": str(uuid4())},
            "serviceaccount": {"name": account, "uid": str(uuid4())},
            "warnafter": seconds + 3607,
        },
        "nbf": seconds,
        "sub": f"system:serviceaccount:{SELECTORS['k8s:ns']}:{account}",
    }
    return sign_compact({"kid": cluster.public.thumbprint()}, claims, cluster)


def assertion(agent: PrivateKey) -> str:
    """A `private_key_jwt` assertion (RFC 7523), as the SDK makes it."""
    seconds = int(NOW.timestamp())
    claims = {"iss": ID, "sub": ID, "aud": US, "iat": seconds, "exp": seconds + 60, "jti": secrets.token_hex(16)}
    return sign_compact({"kid": agent.public.thumbprint(), "typ": "client-authentication+jwt"}, claims, agent)
