"""Jobs prove themselves by a real OpenID Connect issuer, whose keys are found by discovery and followed as they change.

The issuer makes the tokens by its own code, with the claims that GitHub Actions gives a job.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec import AuthSecClient, AuthSecConfig, DelegationDenied
from authsec.jose import PrivateKey
from authsec_server.app import Runtime, open_authority
from authsec_server.settings import load_settings
from starlette.testclient import TestClient

ENDPOINT = "/authsec/uflow/sdk/delegation-token"
JOB = {
    "repository": "example/support-agent",
    "repository_id": "655361111",
    "ref": "refs/heads/main",
    "environment": "production",
    "event_name": "schedule",
}
SELECTORS = [
    {"key": "github:repository", "value": "example/support-agent"},
    {"key": "github:repository_id", "value": "655361111"},
    {"key": "github:ref", "value": "refs/heads/main"},
    {"key": "github:environment", "value": "production"},
]
LOOPBACK = {"AUTHSEC_SERVER_OUTBOUND_PRIVATE_HOSTS": "127.0.0.1"}


@pytest.fixture
def database_option() -> str:
    """What is tested here are the issuer's tokens, the same on both databases: the embedded one will do."""
    return ""


def test_a_job_gets_a_token_and_no_other_does(
    serve: Any, oidc_provider: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    its = serve(**LOOPBACK)
    its.cli("issuers", "add", "oidc", "CI", "--issuer", oidc_provider.issuer, "--preset", "github")
    agent = its.agent("Nightly", platform="oidc", selectors=SELECTORS)
    its.delegate(its.role("Support", "customers:read"), agent, "customers:read")
    file = tmp_path / "token"
    monkeypatch.setenv("AUTHSEC_WORKLOAD_TOKEN_FILE", str(file))

    def ask(**claims: str) -> str:
        file.write_text(oidc_provider.job_token(its.url, **JOB | claims))
        return AuthSecClient(AuthSecConfig(base_url=its.url, client_id=agent.client_id)).get_delegation_token()

    assert ask()
    elsewhere = its.ask(agent, proof=oidc_provider.job_token("https://other.example", **JOB))
    assert (elsewhere.status_code, elsewhere.json()["reason"]) == (401, "attestation_invalid")
    assert f"`aud` must be exactly {its.url}" in elsewhere.json()["details"]
    bound = its.ask(agent, proof=oidc_provider.job_token(its.url, bound_to=PrivateKey.generate_ec(), **JOB))
    assert (bound.status_code, bound.json()["reason"]) == (401, "attestation_invalid")
    assert "bound to a key (`cnf`)" in bound.json()["details"]
    for claims in ({"repository": "example/fork"}, {"repository_id": "1"}, {"environment": ""}):
        with pytest.raises(DelegationDenied) as another:
            ask(**claims)
        assert another.value.reason == "selectors_mismatch"
    (kept,) = its.admin.get("issuers").json()["items"]
    keys = its.admin.get(f"issuers/{kept['id']}/keys").json()
    assert (keys["condition"], {each["kid"][:2] for each in keys["keys"]}) == ("fresh", {"rs", "ec"})


@dataclass
class Clock:
    """The clock of this machine, so many seconds ahead."""

    ahead: float = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


@dataclass
class Hands:
    """An authority in this process, whose clock can be moved, and its operator."""

    http: TestClient
    clock: Clock

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """One call of the admin API."""
        answer = self.http.post(f"/authsec/api/v1/{path}", json=body)
        assert answer.is_success, answer.text
        made: dict[str, Any] = answer.json()
        return made


@pytest.fixture
def hands(tmp_path: Path) -> Iterator[Hands]:
    clock = Clock()
    around = Runtime(now=clock.now, monotonic=clock.monotonic, token_bytes=secrets.token_bytes)
    settings = load_settings(data=tmp_path, outbound_private_hosts="127.0.0.1")
    with open_authority(settings, local_operator=True, runtime=around) as opened:
        yield Hands(TestClient(opened.app, base_url=opened.issuer), clock)


def test_the_issuers_new_keys_are_found_and_its_old_ones_forgotten(hands: Hands, oidc_provider: Any) -> None:
    trusted_issuer = {"name": "CI", "kind": "oidc", "issuer": oidc_provider.issuer, "keys_from": "discovery"}
    hands.post("issuers", **trusted_issuer, preset="github")
    client_id = hands.post("clients", name="Nightly", platform="oidc", selectors=SELECTORS)["client_id"]
    hands.post("roles", name="Support", actions=["customers:read"])
    delegation = {"role": "support", "client": "nightly", "target_type": "Other AI agent", "max_duration": 60}
    hands.post("delegations", **delegation, actions=["customers:read"])
    audience = str(hands.http.base_url).rstrip("/")

    def ask(token: str) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}"}
        answer = hands.http.get(ENDPOINT, params={"client_id": client_id}, headers=headers)
        return answer.status_code, answer.json().get("reason", "")

    before = oidc_provider.job_token(audience, **JOB)
    assert ask(before) == (200, "")
    oidc_provider.rotate()
    after = oidc_provider.job_token(audience, **JOB)
    assert ask(after) == (401, "attestation_invalid"), "a key that nobody knew: looked for once a minute"
    assert ask(before) == (200, ""), "and nobody has looked yet"
    hands.clock.ahead = 61
    assert ask(after) == (200, "")
    assert ask(before) == (401, "attestation_invalid"), "its key is the issuer's no more, though it was good before"
