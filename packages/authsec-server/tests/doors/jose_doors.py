"""Every door that reads a signed token, as an attacker meets it: `knock` shows a token, and says whether it got in.

What is no clean refusal (a failure of ours, another reason, an echo of the token) fails the test by itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from typing import Any

import token_endpoint
from attesting import SHOWN
from authsec import InvalidToken
from authsec.clock import Clock
from authsec.enrolment_code import hashed, read_code
from authsec.jose import PrivateKey, parse_compact
from authsec.verifier import TokenVerifier
from authsec_server.accounts.oidc import SignInRefused
from jose_attacks import Good
from trusted_issuers import ENDPOINT, agent, trust
from workload_evidence import NOW, US, Issuer, github, kubernetes, spire

SECONDS = int(NOW.timestamp())
KEYS = {"RSA": PrivateKey.generate_rsa(), "EC": PrivateKey.generate_ec(), "Ed25519": PrivateKey.generate_ed25519()}
MAKERS = {"kubernetes": kubernetes, "spiffe": spire, "oidc": github}
API = "https://crm.example.com"
ENROL = "/authsec/v1/enrolments"
REVOKE = "/authsec/v1/revoke"


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """`show` shows what is made of a good token, fresh each time. `leeway`: by how many seconds clocks may differ.

    `excuses` are the beginnings of the names of attacks that are none there.
    """

    show: Callable[[Callable[[Good], str]], bool]
    leeway: int
    excuses: tuple[str, ...] = ()

    def knock(self, make: Callable[[Good], str] = Good.token) -> bool:
        """Whether the token that is made of a good one gets in."""
        return self.show(make)

    def at(self, **times: int) -> bool:
        """Whether a good one gets in whose times are so many seconds from now."""
        given = {name: SECONDS + seconds for name, seconds in times.items()}
        return self.knock(lambda good: replace(good, claims={**good.claims, **given}).token())


def workload(its: Any, kind: str, key: PrivateKey, **asked: Any) -> Door:
    """The endpoint of an authority that trusts an issuer of that kind; `asked` is said of it beside its keys."""
    issuer: Issuer = MAKERS[kind](key=key)
    trust(its, issuer, **asked)
    client_id = agent(its, issuer, *SHOWN[issuer.trusted_issuer.kind])
    return _endpoint(its, client_id, lambda: _of_workload(issuer))


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

    return Door(show=show, leeway=30)


def assertion(its: Any, key: PrivateKey) -> Door:
    """The OAuth token endpoint, for an agent with a key pair."""
    client_id = its.delegated_agent(key=key).client_id
    header = {"alg": key.algorithm, "kid": key.public.thumbprint(), "typ": "client-authentication+jwt"}

    def good() -> Good:
        claims = {"iss": client_id, "sub": client_id, "aud": US, "iat": SECONDS, "nbf": SECONDS, "exp": SECONDS + 60}
        return Good(header=header, claims={**claims, "jti": secrets.token_hex(16)}, key=key)

    return replace(_token_endpoint(its, {}, good), excuses=("kid ",))  # the builder of a client chooses its name


def dpop(its: Any, key: PrivateKey) -> Door:
    """The OAuth token endpoint, where the proof of a DPoP key is read: its key is in the header, and nobody's yet."""
    http, agent_ = its.door(), its.delegated_agent()
    header = {"typ": "dpop+jwt", "alg": key.algorithm, "kid": "one", "jwk": key.public.to_jwk()}

    def good() -> Good:
        claims = {"jti": secrets.token_hex(16), "htm": "POST", "htu": US + token_endpoint.PATH, "iat": SECONDS}
        return Good(header=header, claims=claims, key=key)

    def show(make: Callable[[Good], str]) -> bool:
        token = make(good())
        answer = token_endpoint.by_assertion(http, agent_.assertion(), headers=[(b"DPoP", token.encode())])
        if answer.status_code == 200:
            assert answer.json()["token_type"] == "DPoP"
            return True
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof"), answer.text
        assert token[:100] not in answer.text or len(token) < 10
        return False

    unread = tuple(f"{name} {begins}" for name in ("exp", "nbf") for begins in ('"', "tru", "nul", *"[{-09"))
    unread += tuple(f"{name} first as another's" for name in ("iss", "sub", "aud", "exp"))
    own = ("kid ", "brings jwk, signed by it", "header {'typ': 'dpop+jwt'}", "no exp")
    return Door(show=show, leeway=60, excuses=(*own, *unread))


def workload_assertion(its: Any, kind: str, key: PrivateKey) -> Door:
    """The OAuth token endpoint, for a client that authenticates by its workload's token."""
    issuer: Issuer = MAKERS[kind](key=key)
    trust(its, issuer)
    client_id = agent(its, issuer, *SHOWN[issuer.trusted_issuer.kind])
    form = {"client_id": client_id}
    if kind == "spiffe":
        form["client_assertion_type"] = token_endpoint.JWT_SPIFFE
    return _token_endpoint(its, form, lambda: _of_workload(issuer))


def workload_grant(its: Any, kind: str, key: PrivateKey) -> Door:
    """The OAuth token endpoint, for a workload that shows its own token as the grant."""
    issuer: Issuer = MAKERS[kind](key=key)
    trust(its, issuer)
    agent(its, issuer, *SHOWN[issuer.trusted_issuer.kind])
    http = its.door()

    def show(make: Callable[[Good], str]) -> bool:
        token = make(_of_workload(issuer))
        return _is_granted(token_endpoint.by_grant(http, token), token, (400, "invalid_grant"))

    return Door(show=show, leeway=30)


def _of_workload(issuer: Issuer) -> Good:
    claims = issuer.claims() | {"nbf": SECONDS, "iss": issuer.claims().get("iss", "https://spire.example.org")}
    header = {"alg": issuer.key.algorithm, "kid": issuer.kid, "typ": "JWT"}
    return Good(header=header, claims=claims, key=issuer.key)


def _token_endpoint(its: Any, form: Mapping[str, str], good: Callable[[], Good]) -> Door:
    http = its.door()

    def show(make: Callable[[Good], str]) -> bool:
        token = make(good())
        return _is_granted(token_endpoint.by_assertion(http, token, **form), token, (401, "invalid_client"))

    return Door(show=show, leeway=30)


def _is_granted(answer: Any, token: str, refused: tuple[int, str]) -> bool:
    """Whether the token endpoint lets this in; else it must refuse the client or the grant, or what is no request."""
    if answer.status_code == 200:
        return True
    told = answer.json()
    if told["error"] == "invalid_request":  # too large, empty, or without a client_id and with the `iss` of nobody
        assert answer.status_code in {400, 413}, answer.text
    else:
        assert (answer.status_code, told["error"]) == refused, answer.text
        assert told["reason"] == "attestation_invalid"
    assert token[:100] not in answer.text or len(token) < 10
    return False


def enrolment(its: Any, make_key: Callable[[], PrivateKey]) -> Door:
    """Where a machine shows that it holds the key that it enrols. `its` has the local operator, who makes codes."""
    operator = its.door()
    client_id = its.delegated_agent().client_id
    unused: list[tuple[PrivateKey, str]] = []  # what is refused uses up no code
    addresses = (f"10.{number // 250}.{number % 250}.1" for number in count())  # of each network few may fail

    def good() -> Good:
        if not unused:
            made = operator.post(f"/authsec/api/v1/clients/{client_id}/enrolments")
            unused.append((make_key(), made.json()["code"]))
        key, code = unused[0]
        claims = {"iss": client_id, "sub": client_id, "aud": US, "code_sha256": hashed(read_code(code) or "")}
        times = {"iat": SECONDS, "nbf": SECONDS, "exp": SECONDS + 120}
        header = {"alg": key.algorithm, "typ": "authsec-enrolment+jwt", "kid": key.public.thumbprint()}
        return Good(header=header, claims=claims | times, key=key)

    def show(make: Callable[[Good], str]) -> bool:
        possession = make(good())
        key, code = unused[0]
        body = {"client_id": client_id, "code": code, "public_key": key.public.to_pem().decode()}
        answer = its.door(next(addresses)).post(ENROL, json=body | {"possession": possession})
        if answer.status_code == 201:
            unused.clear()
            return True
        assert answer.status_code in {400, 413}, answer.text
        assert answer.json().get("field", "body") in {"possession", "body"}, answer.text  # too large, or not even JSON
        return False

    return Door(show=show, leeway=30, excuses=("kid ",))  # nobody asks it which key is meant


def trial(its: Any, kind: str, key: PrivateKey) -> Door:
    """Where an operator tries a token that an agent was refused with: what it says is believed, and acted on."""
    issuer: Issuer = MAKERS[kind](key=key)
    trust(its, issuer)
    agent(its, issuer, *SHOWN[issuer.trusted_issuer.kind])
    operator, path = its.door(), f"/authsec/api/v1/issuers/{issuer.trusted_issuer.slug}/try"

    def good() -> Good:
        its.clock.at += timedelta(seconds=3)  # so many may be tried in a minute
        issuer.now = its.clock.now()
        seconds = int(issuer.now.timestamp())
        claims = issuer.claims() | {"nbf": seconds, "iss": issuer.claims().get("iss", "https://spire.example.org")}
        return Good(header={"alg": key.algorithm, "kid": issuer.kid, "typ": "JWT"}, claims=claims, key=key)

    def show(make: Callable[[Good], str]) -> bool:
        answer = operator.post(path, json={"token": make(good())})
        told = answer.json()
        if answer.status_code in {400, 413}:
            assert told.get("field", "body") == "body", answer.text  # too large, or not even JSON
            return False
        assert answer.status_code == 200, answer.text
        if not told["signed"]:  # what it says is not verified; of an expired one it was
            assert (told["satisfies"], told["selectors"], told["nearest"]) == ([], [], [])
        return bool(told["holds"])

    return Door(show=show, leeway=30, excuses=("a line break in part", "a space in part"))  # people paste those


def revocation(its: Any) -> Door:
    """Where whoever holds a token ends it. It lets in what ends one; it says nothing either way (RFC 7009)."""
    http, client_id = its.door(), its.delegated_name()
    unused: list[str] = []

    def good() -> Good:
        if not unused:
            unused.append(http.get(ENDPOINT, params={"client_id": client_id}).json()["token"])
        token = parse_compact(unused[0])
        key = its.authority.tokens.signer.open(token.header["kid"])
        return Good(header=dict(token.header), claims=dict(token.claims), key=key)

    def show(make: Callable[[Good], str]) -> bool:
        before = its.authority.feed.last()
        answer = http.post(REVOKE, data={"token": make(good())})
        assert answer.status_code in {200, 400, 413}, answer.text  # nothing at all, or too large
        if its.authority.feed.last() == before:
            return False
        unused.clear()
        return True

    # When it is over the audit log says: nobody but the authority itself could write into it other times.
    times = tuple(f"{name} {begins}" for name in ("exp", "iat", "nbf") for begins in ('"', "tru", "nul", *"[{-09"))
    return Door(show=show, leeway=0, excuses=("no exp", *times))


def api(key: PrivateKey) -> Door:
    """An API that verifies delegation tokens with the SDK."""
    jwk = {**key.public.to_jwk(), "kid": "one", "use": "sig", "alg": key.algorithm}
    verifier = TokenVerifier(
        US,
        API,
        keys={"keys": [jwk]},
        algorithms={"RS256", "ES256", "EdDSA"},
        revocations="until_exp",
        clock=Clock(wall=lambda: float(SECONDS), monotonic=lambda: 0.0),
    )

    def good() -> Good:
        return Good(header={"alg": key.algorithm, "kid": "one", "typ": "at+jwt"}, claims=DELEGATED, key=key)

    def show(make: Callable[[Good], str]) -> bool:
        try:
            verifier.verify(make(good()))
        except InvalidToken:
            return False  # the door stayed shut, which is what is asked
        return True

    return Door(show=show, leeway=30)


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

    return Door(show=show, leeway=60)


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
