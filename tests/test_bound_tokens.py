"""An agent with a key pair, its real authority, and a FastAPI API: tokens that are useless without their key (DPoP)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
import requests
from authsec import AuthSecClient, DelegationDenied, KeyFile
from authsec.jose import PrivateKey, parse_compact
from authsec.jose.dpop import make_proof
from authsec.smoke import Smoke
from authsec_server.console.clients.snippets import OTHER_PYTHON, framework_codes
from authsec_server.sdk_wheels import SdkWheels
from free_ports import free_port

from .bound_crm import AUDIENCE, crm


def key_file(folder: Path, key: PrivateKey) -> KeyFile:
    path = folder / "agent.pem"
    path.touch(0o600)
    path.write_bytes(key.to_pem())
    return KeyFile(path)


@pytest.mark.sqlite_suffices  # test_dpop.py has the same SQL on PostgreSQL
def test_from_the_agent_to_the_api_with_two_servers_and_nonces(serve: Any, tmp_path: Path) -> None:
    nonces = {"AUTHSEC_SERVER_DPOP_NONCE": "true"}
    first = serve(**nonces)
    second = serve(port=free_port(), AUTHSEC_SERVER_PUBLIC_URL=first.url, **nonces)
    first.post("apis", name="CRM", identifier=AUDIENCE)
    made = first.agent("Night Owl", keyed=True)
    role = first.role("Support", "customers:read")
    delegation = first.delegate(role, made, "customers:read", audiences=[AUDIENCE], require_dpop=True)
    credential = key_file(tmp_path, made.key)
    clients = [
        AuthSecClient(base_url=server.url, client_id=made.client_id, credential=credential, dpop=True)
        for server in (first, second)
    ]
    with crm(first.url, dpop_required=True) as url:
        customers = f"{url}/customers/42"
        for client in clients:
            thumbprint = parse_compact(client.get_delegation_token()).claims["cnf"]["jkt"]
            with httpx2.Client(auth=client.httpx_auth(allowed_origins=url), trust_env=False) as http:
                answers = [http.get(customers) for _ in range(3)]
            answers.append(requests.get(customers, auth=client.requests_auth(allowed_origins=url), timeout=10))
            assert [answer.status_code for answer in answers] == [200] * 4
            assert [answer.json() for answer in answers] == [{"id": "42", "key": thumbprint}] * 4
        refusals = refused_to_a_thief(clients[0], customers)
        assert refusals == {
            "as a bearer token": "bound_token_as_bearer",
            "without a proof": "dpop_proof_invalid",
            "with a proof of another key": "dpop_key_mismatch",
            "with a proof of another token": "dpop_proof_invalid",
            "replayed": "dpop_proof_replayed",
        }
        assert_connect_shows_programs_that_run(first, made, tmp_path / "agent.pem", url)
        metadata = httpx2.get(f"{url}/.well-known/oauth-protected-resource", trust_env=False).json()
        assert metadata["dpop_bound_access_tokens_required"] is True
        first.post(f"delegations/{delegation}/revoke")
        deadline = time.monotonic() + 5
        headers = clients[0].headers(token := clients[0].get_delegation_token(), "GET", customers)
        while httpx2.get(customers, headers=headers, trust_env=False).json().get("reason") != "token_revoked":
            assert time.monotonic() < deadline, "a revoked token is accepted on"
            headers = clients[0].headers(token, "GET", customers)
    with pytest.raises(DelegationDenied) as caught:
        clients[1].get_token(force_refresh=True)
    assert caught.value.reason == "delegation_ended"


def assert_connect_shows_programs_that_run(its: Any, made: Any, key: Path, api: str) -> None:
    """A program that calls the API itself, and a tool that gets a token, as the Connect tab shows both."""
    program = framework_codes(made.client_id, "customers:read", "", sdk=SdkWheels([], issuer=""), is_bound=True)[
        -1
    ].code
    tool = OTHER_PYTHON.program("customers:read", "", is_bound=True) + 'print(fetch_customer("42"))'
    environment = {"AUTHSEC_BASE_URL": its.url, "AUTHSEC_AGENT_CLIENT_ID": made.client_id, "DOWNSTREAM_URL": api}
    environment |= {"AUTHSEC_AGENT_KEY_FILE": str(key), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", f"{program}\n{tool}"]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert [line.partition(",")[0] for line in done.stdout.splitlines()] == ['{"id":"42"'] * 2


def refused_to_a_thief(client: AuthSecClient, url: str) -> dict[str, str]:
    """What each attempt with a stolen token is refused with."""
    token, thief = client.get_delegation_token(), PrivateKey.generate_ec()
    forged = make_proof(thief, method="GET", url=url, now=time.time(), jti="j1", access_token=token)
    seen = client.headers(token, "GET", url)
    assert httpx2.get(url, headers=seen, trust_env=False).status_code == 200
    other = client.get_token(force_refresh=True)
    attempts = {
        "as a bearer token": {"Authorization": f"Bearer {token}"},
        "without a proof": {"Authorization": f"DPoP {token}"},
        "with a proof of another key": {"Authorization": f"DPoP {token}", "DPoP": forged},
        "with a proof of another token": {"Authorization": f"DPoP {other.value}", "DPoP": seen["DPoP"]},
        "replayed": seen,
    }
    refusals = {}
    for name, headers in attempts.items():
        answer = httpx2.get(url, headers=headers, trust_env=False)
        assert answer.status_code == 401, name
        refusals[name] = str(answer.json()["reason"])
    return refusals


@pytest.mark.sqlite_suffices
def test_an_agent_without_the_flag_is_told_of_it(serve: Any, tmp_path: Path) -> None:
    its = serve()
    made = its.agent("Night Owl", keyed=True)
    its.delegate(its.role("Support", "customers:read"), made, "customers:read", require_dpop=True)
    credential = key_file(tmp_path, made.key)
    client = AuthSecClient(base_url=its.url, client_id=made.client_id, credential=credential)
    with pytest.raises(DelegationDenied, match="Set AUTHSEC_DPOP=1") as caught:
        client.get_delegation_token()
    assert caught.value.reason == "proof_not_accepted"
    bound = AuthSecClient(base_url=its.url, client_id=made.client_id, credential=credential, dpop=True)
    assert bound.get_token().token_type == "DPoP"
    assert Smoke(bound).run() == 0
    bound.revoke_token(bound.get_token())
