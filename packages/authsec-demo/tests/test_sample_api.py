"""The sample API over a real socket: what a token opens, and what stays shut."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from authsec import TokenVerifier
from authsec.jose import sign_compact
from authsec_demo.loopback import serving
from authsec_demo.sample_api import Customers, create_app
from ready_keys import OWN

ISSUER = "https://authsec.example.com"
KEY = OWN  # a throwaway key set: nobody trusts it but these tests
KEY_SET = {"keys": [{**KEY.public.to_jwk(), "kid": "throwaway", "use": "sig", "alg": "RS256"}]}
ADA = {"id": "42", "name": "Ada Lovelace", "email": "ada@example.com"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleApi:
    http: httpx2.Client
    customers: Customers

    def ask(self, method: str, path: str, token: str | None = None) -> httpx2.Response:
        return self.http.request(method, path, headers={"Authorization": f"Bearer {token}"} if token else {})


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SampleApi]:
    customers = Customers(tmp_path_factory.mktemp("api") / "customers.sqlite3")
    app = create_app(
        customers, TokenVerifier(issuer=ISSUER, audience="customers-api", keys=KEY_SET, revocations="until_exp")
    )
    with serving(app) as url, httpx2.Client(base_url=url, trust_env=False) as http:
        yield SampleApi(http=http, customers=customers)


@pytest.fixture
def api(running: SampleApi) -> SampleApi:
    """The one server, with customers 41 and 42 as they were at first."""
    for number, name, email in (("41", "Grace Hopper", "grace@example.com"), tuple(ADA.values())):
        running.customers.delete(number)
        running.customers.add(number, name, email)
    return running


def token(*actions: str, **changes: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "sub": "spiffe://demo/agent/3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88",
        "aud": ["customers-api"],
        "iat": now,
        "nbf": now,
        "exp": now + 60,
        "jti": "one",
        "client_id": "3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88",
        "scope": " ".join(actions),
        "permissions": list(actions),
        "roles": ["Support"],
        "delegation_ids": ["77777777-5d0b-4c52-9d4e-0a6c2f1b7e88"],
        "authority_version": 1,
        "attestation": {"method": "key_pair", "selectors": []},
    }
    return sign_compact({"kid": "throwaway", "typ": "at+jwt"}, claims | changes, KEY)


def test_who_may_read_reads(api: SampleApi) -> None:
    answer = api.ask("GET", "/customers/42", token("customers:read"))
    assert (answer.status_code, answer.json()) == (200, ADA)


def test_who_may_delete_deletes_once(api: SampleApi) -> None:
    may_delete = token("customers:delete")
    assert api.ask("DELETE", "/customers/42", may_delete).status_code == 204
    assert api.customers.find("42") is None
    assert api.ask("DELETE", "/customers/42", may_delete).status_code == 404
    assert api.customers.find("41") is not None


@pytest.mark.parametrize(("method", "held"), [("GET", "customers:delete"), ("DELETE", "customers:read")])
def test_one_action_does_not_open_the_other(api: SampleApi, method: str, held: str) -> None:
    answer = api.ask(method, "/customers/42", token(held))
    assert answer.status_code == 403
    assert answer.json()["reason"] == "action_not_allowed"
    assert held in answer.json()["granted_actions"]
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert api.customers.find("42") == ADA


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    "presented",
    [
        None,
        "not-a-token",
        token("customers:read", "customers:delete", aud=["another-api"]),
        token("customers:read", "customers:delete", exp=int(time.time()) - 600),
    ],
    ids=["none", "nonsense", "another audience", "expired"],
)
def test_without_a_good_token_nothing_happens(api: SampleApi, method: str, presented: str | None) -> None:
    answer = api.ask(method, "/customers/42", presented)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "Ada" not in answer.text
    assert api.customers.find("42") == ADA


def test_nobody_learns_without_the_action_which_customers_there_are(api: SampleApi) -> None:
    there, missing = (api.ask("GET", f"/customers/{number}", token("customers:delete")) for number in ("42", "4711"))
    assert (there.status_code, there.json()) == (missing.status_code, missing.json())


@pytest.mark.parametrize("number", ["4711", "0", "-1", "42%20OR%201=1", "42';--", "9" * 400, "%00", "%F0%9F%90%88"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_customer_is_404(api: SampleApi, method: str, number: str) -> None:
    answer = api.ask(method, f"/customers/{number}", token("customers:read", "customers:delete"))
    assert answer.status_code == 404
    assert answer.json()["reason"] == "customer_not_found"
    assert api.customers.find("42") == ADA
