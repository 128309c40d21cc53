"""Every door that reads a signed token, as an attacker meets it: `knock` shows a token, and says whether it got in.

What is no clean refusal (a failure of ours, another reason, an echo of the token) fails the test by itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from attesting import SHOWN
from authsec import InvalidToken
from authsec.clock import Clock
from authsec.jose import PrivateKey
from authsec.verifier import TokenVerifier
from authsec_server.accounts.oidc import SignInRefused
from jose_attacks import Good
from trusting import ENDPOINT, agent, trust
from workload_evidence import NOW, US, Issuer, github, kubernetes, spire

SECONDS = int(NOW.timestamp())
KEYS = {"RSA": PrivateKey.generate_rsa(), "EC": PrivateKey.generate_ec(), "Ed25519": PrivateKey.generate_ed25519()}
MAKERS = {"kubernetes": kubernetes, "spiffe": spire, "oidc": github}
API = "https://crm.example.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """`good` makes a token that is let in, fresh each time; `show` shows one. `leeway`: how far clocks may differ."""

    good: Callable[[], Good]
    show: Callable[[Callable[[Good], str]], bool]
    leeway: int

    def knock(self, make: Callable[[Good], str] = Good.token) -> bool:
        """Whether the token that is made of a good one gets in."""
        return self.show(make)

    def at(self, **times: int) -> bool:
        """Whether a good one gets in whose times are so many seconds from now."""
        given = {name: SECONDS + seconds for name, seconds in times.items()}
        return self.knock(lambda good: replace(good, claims={**good.claims, **given}).token())


def workload(its: Any, kind: str, key: PrivateKey) -> Door:
    """The endpoint of an authority that trusts an issuer of that kind."""
    issuer: Issuer = MAKERS[kind](key=key)
    trust(its, issuer)
    client_id = agent(its, issuer, *SHOWN[issuer.source.kind])
    claims = issuer.claims() | {"nbf": SECONDS, "iss": issuer.claims().get("iss", "https://spire.example.org")}
    header = {"alg": key.algorithm, "kid": issuer.kid, "typ": "JWT"}
    return _endpoint(its, client_id, lambda: Good(header=header, claims=claims, key=key))


def key_pair(its: Any, key: PrivateKey) -> Door:
    """The endpoint of an authority, for an agent that proves itself with a key pair."""
    client_id = its.delegated_agent(key=key).client_id
    header = {"alg": key.algorithm, "kid": key.public.thumbprint(), "typ": "JWT"}

    def good() -> Good:
        claims = {"iss": client_id, "sub": client_id, "aud": US, "iat": SECONDS, "nbf": SECONDS, "exp": SECONDS + 60}
        return Good(header=header, claims={**claims, "jti": secrets.token_hex(16)}, key=key)

    return _endpoint(its, client_id, good)


def _endpoint(its: Any, client_id: str, good: Callable[[], Good]) -> Door:
    http = its.door()

    def show(make: Callable[[Good], str]) -> bool:
        token = make(good())
        shown = {"Authorization": f"Bearer {token}".encode()}
        answer = http.get(ENDPOINT, params={"client_id": client_id}, headers=shown)
        if answer.status_code == 200:
            return True
        assert (answer.status_code, answer.json()["reason"]) == (401, "attestation_invalid"), answer.text
        assert token[:100] not in answer.text or len(token) < 10
        return False

    return Door(good=good, show=show, leeway=30)


def api(key: PrivateKey) -> Door:
    """An API that verifies delegation tokens with the SDK."""
    jwk = {**key.public.to_jwk(), "kid": "one", "use": "sig"}
    verifier = TokenVerifier(
        US,
        API,
        keys={"keys": [jwk]},
        algorithms={"RS256", "ES256", "EdDSA"},
        clock=Clock(wall=lambda: float(SECONDS), monotonic=lambda: 0.0),
    )

    def good() -> Good:
        return Good(header={"alg": key.algorithm, "kid": "one", "typ": "at+jwt"}, claims=DELEGATED, key=key)

    def show(make: Callable[[Good], str]) -> bool:
        try:
            verifier.verify(make(good()))
        except InvalidToken:
            return False
        return True

    return Door(good=good, show=show, leeway=30)


def sign_in(provider: Any, key: PrivateKey) -> Door:
    """The console's sign-in through an OpenID provider."""
    provider.keys = {"one": key}
    opened = provider.sign_in()
    header = {"alg": key.algorithm, "kid": "one", "typ": "JWT"}
    claims = {
        "iss": provider.issuer,
        "sub": "1",
        "aud": "authsec",
        "iat": SECONDS,
        "nbf": SECONDS,
        "exp": SECONDS + 300,
    }

    def good(nonce: str = "") -> Good:
        return Good(header=header, claims=claims | provider.claims | {"nonce": nonce}, key=key)

    def show(make: Callable[[Good], str]) -> bool:
        provider.id_token = lambda nonce: make(good(nonce))
        try:
            provider.walk(opened)
        except SignInRefused as refused:
            if refused.code != "oidc_token_invalid" and "strict JSON" not in refused.note:  # of the provider's answer
                raise
            return False
        return True

    return Door(good=good, show=show, leeway=60)


DELEGATED: Mapping[str, Any] = {
    "iss": US,
    "sub": "spiffe://example.com/agent/3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88",
    "aud": [API],
    "exp": SECONDS + 600,
    "nbf": SECONDS,
    "iat": SECONDS,
    "jti": "0192f0c1",
    "client_id": "3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88",
    "scope": "customers:read",
    "permissions": ["customers:read"],
    "roles": ["support"],
    "delegation_ids": ["d1"],
    "authority_version": 7,
    "agent_type": "AutoGen AI agent",
    "attestation": {"method": "kubernetes", "selectors": ["k8s:ns"]},
}
"""What an authority signs for an API."""
