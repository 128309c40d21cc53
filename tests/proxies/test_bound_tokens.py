"""Tokens that are bound to a key, through real proxies: an agent gets in, and a thief of its token does not.

Callers address the API as https://crm.example.com. Here their connections lead to the proxy, as DNS and a load balancer
would have it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from authsec import AuthSecClient, KeyFile
from authsec.jose import PrivateKey, PublicKey, parse_compact
from authsec.jose.dpop import make_proof

from .estates import AUDIENCE, READ, Estate

PATH = "/customers/42"
URL = f"{AUDIENCE}{PATH}"
FORGED = {
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Method": "GET",
    "X-Forwarded-Uri": PATH,
    "X-Original-Method": "GET",
    "Forwarded": "host=evil.example",
}


class Through(httpx2.HTTPTransport):
    """Sends each request to the proxy at `url`, whatever host the request names."""

    def __init__(self, url: str) -> None:
        super().__init__(trust_env=False)
        self._url = httpx2.URL(url)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme="http", host=self._url.host, port=self._url.port)
        return super().handle_request(request)


@pytest.fixture
def agent(estate: Estate, proxy: str, tmp_path: Path) -> AuthSecClient:
    """An agent with a key pair. Its delegation grants only bound tokens."""
    made = estate.authority.agent(f"Bound {tmp_path.name}", keyed=True)
    estate.authority.delegate("support", made, READ, audiences=[AUDIENCE], require_dpop=True)
    path = tmp_path / "agent.pem"
    path.touch(0o600)
    path.write_bytes(made.key.to_pem())
    return AuthSecClient(base_url=estate.authority.url, client_id=made.client_id, credential=KeyFile(path), dpop=True)


def test_an_agent_with_its_key_gets_in(estate: Estate, proxy: str, agent: AuthSecClient) -> None:
    auth = agent.httpx_auth(allowed_origins=AUDIENCE, resource=AUDIENCE)
    with httpx2.Client(auth=auth, transport=Through(estate.urls[proxy])) as http:
        for path in (PATH, f"{PATH}?page=2", "/customers/a%20b", "/customers/%C3%BC"):
            let_in = http.get(f"{AUDIENCE}{path}")
            assert (let_in.status_code, let_in.json()["authsec-permissions"]) == (200, READ), path
            assert not {"authorization", "dpop"} & let_in.json().keys()
        assert http.post(URL, content=b"text").status_code == 200
        assert http.request("HEAD", URL).status_code == 200
        refused = http.get(f"{AUDIENCE}/delete/42")
    assert refused.status_code == 403
    assert refused.headers["www-authenticate"].startswith(f'DPoP realm="{AUDIENCE}"')


def test_a_stolen_token_is_refused(estate: Estate, proxy: str, agent: AuthSecClient) -> None:
    token = agent.get_token(resource=AUDIENCE).value
    thief = PrivateKey.generate_ec()
    own = {"url": URL, "method": "GET", "now": time.time(), "access_token": token}

    def proof(**changes: Any) -> str:
        """A proof of the holder, such as a thief may have seen."""
        return agent.headers(token, changes.get("method", "GET"), changes.get("url", URL))["DPoP"]

    def status(*headers: tuple[str, str], method: str = "GET", path: str = PATH) -> int:
        before = len(estate.seen)
        with httpx2.Client(transport=Through(estate.urls[proxy])) as http:
            answer = http.request(method, f"{AUDIENCE}{path}", headers=headers)
        reached = len(estate.seen) > before
        assert reached is (answer.status_code == 200)
        return answer.status_code

    by_dpop = ("Authorization", f"DPoP {token}")
    seen = proof()
    assert status(by_dpop, ("DPoP", seen)) == 200
    assert status(by_dpop, ("DPoP", seen)) == 401  # replayed
    assert status(("Authorization", f"Bearer {token}")) == 401
    assert status(("Authorization", f"Bearer {token}"), ("DPoP", proof())) == 401
    assert status(by_dpop) == 401
    assert status(by_dpop, ("DPoP", proof()), ("DPoP", proof())) == 401
    assert status(by_dpop, ("DPoP", make_proof(thief, jti="j1", **own))) == 401
    assert status(by_dpop, ("DPoP", proof()), path="/customers/43") == 401
    assert status(by_dpop, ("DPoP", proof()), method="POST") == 401
    assert status(by_dpop, ("DPoP", proof(url=f"{estate.urls[proxy]}{PATH}"))) == 401  # the address of the connection
    for name, value in FORGED.items():
        assert status(by_dpop, ("DPoP", proof()), (name, value), path="/customers/43") in {400, 401}, name
        assert status(by_dpop, ("DPoP", proof()), (name, value), method="DELETE") in {400, 401}, name
    evil = proof(url=f"https://evil.example{PATH}")
    assert status(by_dpop, ("DPoP", evil), ("Host", "evil.example"), ("X-Forwarded-Host", "evil.example")) == 401
    key = PublicKey.from_jwk(parse_compact(seen, embedded_key=True).header["jwk"])
    assert parse_compact(token).claims["cnf"] == {"jkt": key.thumbprint()}
    log = estate.log.read_text()
    assert token not in log
    assert seen not in log
