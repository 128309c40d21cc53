"""Each kind of proof from end to end: an agent with the SDK shows it to a real authority over HTTP, and gets a token.

And whoever shows what is not the agent's gets none. What the token says of the proof is read from it, verified.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from authsec import AuthenticationError, AuthSecClient, AuthSecConfig, DelegationDenied, TokenRequestError
from authsec.credentials import KeyFile, ProjectedToken, SecretFile, SpiffeWorkloadApi
from authsec.jose import PrivateKey
from authsec.verifier import TokenVerifier
from workload_evidence import Issuer, github, kubernetes

WORKLOAD_API = Path(__file__).parents[1] / "packages" / "authsec" / "tests" / "workload_api_server.py"


@pytest.fixture(scope="module")
def its(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One authority for all of them, with a role to delegate."""
    with serving(tmp_path_factory.mktemp("authority"), "") as serve:
        authority = serve(AUTHSEC_SERVER_TRUST_DOMAIN="example.org")
        authority.role("Support", "customers:read")
        yield authority


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("AUTHSEC_", "SPIFFE_", "ACTIONS_", "GITHUB_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


class Agent:
    """An agent of that authority, and what it is told."""

    def __init__(
        self, its: Any, name: str, platform: str, selectors: dict[str, str] | None = None, **more: Any
    ) -> None:
        given = {"selectors": [{"key": key, "value": value} for key, value in (selectors or {}).items()]}
        self.its = its
        self.made = its.post("clients", name=name, platform=platform, **(given if selectors else {}), **more)
        self.client_id: str = self.made["client_id"]
        its.delegate("support", self, "customers:read")

    def attestation(self, credential: Any) -> tuple[str, tuple[str, ...]]:
        """By what it got in and what that proved, as an API reads it from the token."""
        config = AuthSecConfig(base_url=self.its.url, client_id=self.client_id)
        token = AuthSecClient(config, credential=credential).get_delegation_token()
        verified = TokenVerifier(self.its.url, "authsec-api").verify(token)
        assert verified.client_id == self.client_id
        return verified.attestation.method, tuple(verified.attestation.selectors)

    def refusal(self, credential: Any) -> TokenRequestError:
        """What it is told instead."""
        with pytest.raises(TokenRequestError) as refused:
            self.attestation(credential)
        return refused.value

    def without_a_proof(self) -> str:
        """What somebody is told who knows the Client ID and nothing else."""
        return str(self.its.ask(client_id=self.client_id).json()["reason"])


def trusted(its: Any, issuer: Issuer, keys: dict[str, Any] | None = None) -> Issuer:
    """The issuer, which makes tokens of now for this authority, which trusts it."""
    known = issuer.trusted_issuer
    issuer.now = datetime.now(UTC)
    body = {"name": known.name, "kind": known.kind, "issuer": known.issuer, "claims": dict(known.claims)}
    its.post("issuers", **body, keys_from="given", given_keys=keys or issuer.jwks)
    return issuer


def test_a_pod_of_kubernetes(its: Any, tmp_path: Path) -> None:
    cluster, file = trusted(its, kubernetes("cluster")), tmp_path / "token"
    selectors = {"k8s:ns": "production", "k8s:sa": "customer-support-sa"}
    agent = Agent(its, "In a cluster", "kubernetes", selectors, trusted_issuer="cluster")
    pod = ProjectedToken(path=file)
    file.write_text(cluster.token(aud=[its.url]))
    assert agent.attestation(pod) == ("kubernetes", ("k8s:ns", "k8s:sa"))

    bound = cluster.claims()["kubernetes.io"] | {"serviceaccount": {"name": "other", "uid": "1"}}
    file.write_text(
        cluster.token(aud=[its.url], sub="system:serviceaccount:production:other", **{"kubernetes.io": bound})
    )
    assert agent.refusal(pod).reason == "selectors_mismatch"
    assert agent.without_a_proof() == "attestation_required"


@contextmanager
def workload_api() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="authsec-spiffe-") as folder:  # short: a socket's path has 107 bytes
        command = [sys.executable, WORKLOAD_API, folder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            yield Path(folder)
            server.communicate()


@pytest.mark.soak  # test_spiffe.py has the agent's half in every run, test_workload_grant.py the authority's
def test_a_workload_of_spiffe(its: Any) -> None:
    with workload_api() as folder:
        bundle = folder / "bundle.json"
        its.cli("issuers", "add", "spiffe", "Example", "--trust-domain", "example.org", "--bundle", str(bundle))
        agent = Agent(its, "Known to SPIRE", "spiffe", {"spiffe:id": "spiffe://example.org/node"})
        socket = f"unix://{folder}/works"
        assert agent.attestation(SpiffeWorkloadApi(socket=socket)) == ("spiffe", ("spiffe:id",))

        another = SpiffeWorkloadApi(
            socket=socket, spiffe_id="spiffe://example.org/agent/3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88"
        )
        assert agent.refusal(another).reason == "selectors_mismatch"
        assert agent.without_a_proof() == "attestation_required"

        on_a_host = Agent(its, "On a host", "unix", {"unix:uid": "1000", "unix:path": "/usr/bin/agent"})
        entry = its.cli("agents", "spire-entry", "on-a-host")
        assert f"-spiffeID {on_a_host.made['spiffe_id']} " in entry
        assert entry.endswith("-selector unix:uid:1000 -selector unix:path:/usr/bin/agent")
        by_that_entry = SpiffeWorkloadApi(socket=socket, spiffe_id=on_a_host.made["spiffe_id"])
        assert on_a_host.attestation(by_that_entry) == ("spiffe", ("spiffe:id",))
        assert on_a_host.refusal(SpiffeWorkloadApi(socket=socket)).reason == "selectors_mismatch"


@contextmanager
def jobs(token: Callable[[str], str]) -> Iterator[str]:
    """Where a job asks for its token, as GitHub Actions answers it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            (audience,) = parse_qs(urlsplit(self.path).query)["audience"]
            body = json.dumps({"count": 1, "value": token(audience)}).encode()
            self.send_response(200 if self.headers["Authorization"] == "Bearer the-job" else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/idtoken?api-version=2.0"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_job_of_github_actions(its: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    actions = trusted(its, github())
    agent = Agent(its, "In a job", "oidc", {"github:repository_id": "655361111", "github:environment": "production"})
    claims: dict[str, Any] = {}
    with jobs(lambda audience: actions.token(aud=audience, **claims)) as url:
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", url)
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "the-job")
        assert agent.attestation(None) == ("oidc", ("github:repository_id", "github:environment"))

        claims["repository_id"] = "1"
        assert agent.refusal(None).reason == "selectors_mismatch"
        assert agent.without_a_proof() == "attestation_required"


def test_a_key_pair(its: Any, tmp_path: Path) -> None:
    def file(name: str, key: PrivateKey) -> KeyFile:
        path = tmp_path / name
        path.write_bytes(key.to_pem())
        path.chmod(0o600)
        return KeyFile(path)

    key = PrivateKey.generate_ed25519()
    agent = Agent(its, "With a key", "key", public_key=key.public.to_pem().decode())
    assert agent.attestation(file("its", key)) == ("key_pair", ())

    refusal = agent.refusal(file("another", PrivateKey.generate_ed25519()))
    assert isinstance(refusal, AuthenticationError)
    assert refusal.reason == "attestation_invalid"
    assert agent.without_a_proof() == "attestation_required"


def test_a_secret(its: Any, tmp_path: Path) -> None:
    def file(name: str, secret: str) -> SecretFile:
        path = tmp_path / name
        path.write_text(secret)
        path.chmod(0o600)
        return SecretFile(path)

    agent = Agent(its, "With a secret", "secret")
    secret = file("its", agent.made["client_secret"])
    assert agent.attestation(secret) == ("secret", ())

    another = Agent(its, "With another", "secret").made["client_secret"]
    assert agent.refusal(file("another", another)).reason == "attestation_invalid"
    assert agent.without_a_proof() == "attestation_required"
    its.post(f"clients/{agent.client_id}/disable")
    refusal = agent.refusal(secret)
    assert isinstance(refusal, DelegationDenied)
    assert refusal.reason == "client_disabled"
