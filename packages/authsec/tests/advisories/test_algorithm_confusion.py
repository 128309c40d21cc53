"""The token chooses the algorithm, and the verifier's public key becomes a shared secret.

A verifier that does what the header says takes HS256 with the public key, which everybody has, as the secret; or
`none` with no signature at all. Here the verifier allows algorithms, and a key fits only those of its own kind.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from authsec.jose import JoseError, PrivateKey, PublicKey, signing_input, verify_compact

from ..fake_keys import claims, jwk_of, reason_of, rsa_key, token, verifier_of


def forged(alg: str, signature_of: bytes | None) -> str:
    signed = signing_input({"alg": alg, "typ": "at+jwt", "kid": "current"}, claims())
    mac = b"" if signature_of is None else hmac.digest(signature_of, signed, hashlib.sha256)
    return f"{signed.decode()}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    "secret",
    [
        rsa_key().public.to_pem(),
        rsa_key().public.to_pem().strip(),
        json.dumps(rsa_key().public.to_jwk()).encode(),
        b"",
    ],
)
def test_the_public_key_is_no_shared_secret(secret: bytes) -> None:
    assert reason_of(verifier_of(), forged("HS256", secret)) == "alg_not_allowed"
    for allowed in ({"HS256"}, {"HS256", "RS256"}):  # not even for a program that allows it by mistake
        assert reason_of(verifier_of(algorithms=allowed), forged("HS256", secret)) == "alg_not_allowed"


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE"])
def test_none_is_no_signature(alg: str) -> None:
    assert reason_of(verifier_of(), forged(alg, None)) == "token_malformed"
    assert reason_of(verifier_of(), forged(alg, b"x")) == "alg_not_allowed"
    assert reason_of(verifier_of(algorithms={"none", alg}), forged(alg, b"x")) == "alg_not_allowed"


@pytest.mark.parametrize("alg", ["RS384", "RS512", "PS256", "ES256", "EdDSA", "Ed25519", "RS256 ", "rs256", ""])
def test_only_the_algorithm_of_the_key(alg: str) -> None:
    assert reason_of(verifier_of(), forged(alg, b"x")) == "alg_not_allowed"


def test_the_kid_of_a_key_of_another_kind() -> None:
    curve = PrivateKey.generate_ec()
    keys = {"keys": [jwk_of(rsa_key(), "current"), jwk_of(curve, "curve")]}
    everything = verifier_of(keys)
    assert everything.verify(token(curve, header={"kid": "curve"}))
    assert reason_of(everything, token(rsa_key(), header={"kid": "curve"})) == "alg_not_allowed"
    assert reason_of(everything, token(curve, header={"kid": "current"})) == "alg_not_allowed"
    rsa_alone = verifier_of(keys, algorithms={"RS256"})
    assert reason_of(rsa_alone, token(curve, header={"kid": "curve"})) == "alg_not_allowed"


def test_a_key_published_for_one_algorithm_serves_no_other() -> None:
    keys = {"keys": [jwk_of(rsa_key(), "current", alg="PS256")]}
    assert reason_of(verifier_of(keys, algorithms={"RS256", "PS256"}), token()) == "alg_not_allowed"


def test_a_mac_is_refused_at_every_door() -> None:
    with pytest.raises(JoseError):
        PublicKey.from_jwk({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"})
    with pytest.raises(JoseError):
        verify_compact(forged("HS256", b"secret"), rsa_key().public, algorithms={"HS256"})
