"""A token names a key, and an algorithm that is not the key's.

An authority publishes keys of several kinds. A verifier that takes the algorithm from the token, or guesses it from the
kind of key, verifies signatures that the authority never meant. Here a key in the key set has one `alg`, and a token is
accepted only with this very `alg`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from authsec.errors import ConfigError
from authsec.jose import PrivateKey, assemble, signing_input

from ..fake_keys import claims, jwk_of, reason_of, rsa_key, token, verifier_of

CURVE, EDWARDS = PrivateKey.generate_ec(), PrivateKey.generate_ed25519()
KEYS = {"RS256": rsa_key(), "ES256": CURVE, "EdDSA": EDWARDS}


def all_keys() -> dict[str, Any]:
    """The key set of an authority with a key of each algorithm. The `kid` is the algorithm."""
    return {"keys": [jwk_of(key, alg) for alg, key in KEYS.items()]}


def forged(alg: str, kid: str, signature: bytes = b"x" * 64) -> str:
    return assemble(signing_input({"alg": alg, "typ": "at+jwt", "kid": kid}, claims()), signature)


@pytest.mark.parametrize("alg", KEYS)
def test_each_key_verifies_its_own_algorithm(alg: str) -> None:
    assert verifier_of(all_keys()).verify(token(KEYS[alg], header={"kid": alg}))


@pytest.mark.parametrize("alg", [*KEYS, "Ed25519", "ES384", "PS256"])
@pytest.mark.parametrize("kid", KEYS)
def test_no_other_algorithm_with_this_key(kid: str, alg: str) -> None:
    """Also where the signature would verify: the owner of the key may have signed something else with it."""
    unsigned = signing_input({"alg": alg, "typ": "at+jwt", "kid": kid}, claims())
    signed = assemble(unsigned, KEYS[kid].sign(unsigned))
    for verifier in (verifier_of(all_keys()), verifier_of(all_keys(), algorithms=[*KEYS, "Ed25519", "ES384", "PS256"])):
        if alg == kid:
            assert verifier.verify(signed)
        else:
            assert reason_of(verifier, signed) == "alg_not_allowed"


@pytest.mark.parametrize("kid", KEYS)
def test_no_public_key_is_a_shared_secret(kid: str) -> None:
    public = KEYS[kid].public
    unsigned = signing_input({"alg": "HS256", "typ": "at+jwt", "kid": kid}, claims())
    for secret in (public.to_pem(), json.dumps(public.to_jwk()).encode(), base64.urlsafe_b64decode(b"AAAA")):
        signed = assemble(unsigned, hmac.digest(secret, unsigned, hashlib.sha256))
        assert reason_of(verifier_of(all_keys()), signed) == "alg_not_allowed"
        assert reason_of(verifier_of(all_keys(), algorithms=["HS256", *KEYS]), signed) == "alg_not_allowed"


@pytest.mark.parametrize("kid", KEYS)
def test_none_with_every_kind_of_key(kid: str) -> None:
    assert reason_of(verifier_of(all_keys()), forged("none", kid)) == "alg_not_allowed"


@pytest.mark.parametrize("alg", KEYS)
def test_a_published_key_without_alg_verifies_nothing(alg: str) -> None:
    jwk = jwk_of(KEYS[alg], alg)
    del jwk["alg"]
    with pytest.raises(ConfigError, match="no key with a kid and an alg"):
        verifier_of({"keys": [jwk]})
    others = [each for each in all_keys()["keys"] if each["kid"] != alg]
    verifier = verifier_of({"keys": [jwk, *others]})
    assert reason_of(verifier, token(KEYS[alg], header={"kid": alg})) == "kid_unknown"


@pytest.mark.parametrize(
    ("alg", "named"),
    [(alg, named) for alg in KEYS for named in (*KEYS, "HS256", "none", "ES384", "Ed448") if named != alg],
)
def test_a_published_key_with_the_alg_of_another_kind_verifies_nothing(alg: str, named: str) -> None:
    others = [each for each in all_keys()["keys"] if each["kid"] != alg]
    verifier = verifier_of({"keys": [jwk_of(KEYS[alg], alg, alg=named), *others]})
    for header in ({"kid": alg}, {"kid": alg, "alg": named}):
        assert reason_of(verifier, token(KEYS[alg], header=header)) == "kid_unknown"


def test_another_curve_is_no_key_for_its_algorithm() -> None:
    for curve, alg in (("P-384", "ES256"), ("P-521", "ES256")):
        jwk = jwk_of(PrivateKey.generate_ec(curve), "other", alg=alg)
        assert reason_of(verifier_of({"keys": [jwk, *all_keys()["keys"]]}), forged(alg, "other")) == "kid_unknown"
    x448 = {"kty": "OKP", "crv": "Ed448", "x": "A" * 76, "kid": "other", "alg": "EdDSA"}
    assert reason_of(verifier_of({"keys": [x448, *all_keys()["keys"]]}), forged("EdDSA", "other")) == "kid_unknown"
    p384 = jwk_of(PrivateKey.generate_ec("P-384"), "p384")
    assert reason_of(verifier_of({"keys": [p384, *all_keys()["keys"]]}), forged("ES384", "p384")) == "alg_not_allowed"


def test_an_api_can_allow_fewer_algorithms() -> None:
    verifier = verifier_of(all_keys(), algorithms=["ES256"])
    assert verifier.verify(token(CURVE, header={"kid": "ES256"}))
    for alg in ("RS256", "EdDSA"):
        assert reason_of(verifier, token(KEYS[alg], header={"kid": alg})) == "alg_not_allowed"
