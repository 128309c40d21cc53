"""A workload's token chooses how it is verified: not at all, or with its cluster's public key as a shared secret.

Or it brings its own key, names a key set elsewhere, demands an extension, or borrows another key's name.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from attesting import HELPER, SHOWN, ask, proof, proved, refused
from authsec.jose import PrivateKey
from workload_evidence import EC, OTHER_RSA, encoded, finder, github, kubernetes, spire


def unsigned(its: Any, header: dict[str, Any]) -> str:
    parts = ({"kid": its.kid} | header, its.claims())
    return ".".join(encoded(json.dumps(part).encode()) for part in parts)


@pytest.mark.parametrize("make", [kubernetes, spire, github])
@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
def test_unsigned(make: Any, alg: str) -> None:
    its = make()
    held = proof(its, *SHOWN[its.trusted_issuer.kind])
    for signature in ("", encoded(b"x")):
        refused(ask(f"{unsigned(its, {'alg': alg})}.{signature}", [its], held))


@pytest.mark.parametrize("make", [kubernetes, spire, github])
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_signed_with_the_public_key_as_a_secret(make: Any, alg: str) -> None:
    its = make()
    public = its.key.public
    text = unsigned(its, {"alg": alg})
    for secret in (public.to_pem(), public.to_pem().strip(), json.dumps(public.to_jwk()).encode(), b""):
        forged = hmac.new(secret, text.encode(), getattr(hashlib, f"sha{alg[2:]}")).digest()
        refused(ask(f"{text}.{encoded(forged)}", [its], proof(its, *SHOWN[its.trusted_issuer.kind])))


def test_no_key_is_fetched_for_what_cannot_pass() -> None:
    """Else strangers make us ask the cluster, for tokens that prove nothing whatever it answers."""
    its = kubernetes()

    def never(*_: Any) -> Any:
        raise AssertionError("a key was looked for")

    for header in ({"alg": "none"}, {"alg": "HS256"}, {"alg": "EdDSA"}, {"kid": ""}, {"typ": "at+jwt"}, {"zip": "DEF"}):
        refused(ask(its.token(header=header), [its], proof(its, *HELPER), find=never))
    refused(ask(its.token(iss="https://elsewhere.example"), [its], proof(its, *HELPER), find=never))
    domain = spire()
    for subject in ("spiffe://example.org.evil.example/a", "spiffe://example.com/a", "spiffe://example.org", None):
        refused(ask(domain.token(sub=subject), [domain], proof(domain, *HELPER), find=never))


def test_a_key_is_used_with_the_algorithms_of_its_kind_only() -> None:
    its = kubernetes(key=EC)
    for alg in ("RS256", "PS256", "ES384", "EdDSA"):
        refused(ask(its.token(header={"alg": alg}), [its], proof(its, *HELPER)))


def test_ed25519_is_not_what_clusters_sign_with() -> None:
    its = kubernetes(key=PrivateKey.generate_ed25519())
    refused(ask(its.token(), [its], proof(its, *HELPER)))


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
def test_a_token_that_brings_its_key(name: str) -> None:
    its = kubernetes()
    jwk = OTHER_RSA.public.to_jwk()
    brought = {"jwk": jwk, "x5c": [encoded(OTHER_RSA.public.to_pem())]}.get(name, "https://evil.example/keys")
    refused(ask(its.token(key=OTHER_RSA, header={name: brought}), [its], proof(its, *HELPER)))
    refused(ask(its.token(header={name: brought}), [its], proof(its, *HELPER)))  # nor beside the right one


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"crit": []}, {"b64": False}, {"zip": "DEF"}, {"cty": "JWT"}])
def test_a_header_that_demands_something(header: dict[str, Any]) -> None:
    its = kubernetes()
    refused(ask(its.token(header=header), [its], proof(its, *HELPER)))


@pytest.mark.parametrize("kid", [None, "", "two", "../one", "k" * 513])
def test_a_token_that_does_not_say_which_key(kid: Any) -> None:
    its = kubernetes()
    refused(ask(its.token(header={"kid": kid}), [its], proof(its, *HELPER)))


def test_one_key_of_the_set_under_anothers_name() -> None:
    """A chain was anchored on one certificate of a bag, and the signature checked with another. Here one is meant."""
    its, other = kubernetes(), kubernetes(key=OTHER_RSA)
    other.kid = "two"
    find = finder(its, other)
    assert proved(ask(its.token(), [its], proof(its, *HELPER), find=find))
    assert proved(ask(other.token(), [its], proof(its, *HELPER), find=find))
    refused(ask(its.token(header={"kid": "two"}), [its], proof(its, *HELPER), find=find))
