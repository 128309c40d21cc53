"""A client puts its private key into the header of its proofs, where each API and each proxy reads it.

From then on, the binding protects nothing. RFC 9449 §4.3 refuses such a proof, so that the mistake is found at once.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec.jose import PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc.jwk import ECKey, OKPKey, RSAKey

from ..bound_requests import DOORS, Holder, by_dpop, dpop_verifier

LIBRARY: dict[str, Any] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}


def private_jwk(key: PrivateKey) -> dict[str, Any]:
    native = load_pem_private_key(key.to_pem(), password=None)
    return dict(LIBRARY[key.public.kind].import_key(native).as_dict(private=True))


@pytest.mark.parametrize("make", [PrivateKey.generate_rsa, PrivateKey.generate_ec, PrivateKey.generate_ed25519])
def test_a_private_key_is_refused_and_not_repeated(make: Any) -> None:
    holder = Holder(make())
    bound, jwk = holder.token(), private_jwk(holder.key)
    assert "d" in jwk
    requests = [by_dpop(bound, holder.forged(bound, {"jwk": jwk}))]
    requests += [
        by_dpop(bound, holder.forged(bound, {"jwk": {**holder.key.public.to_jwk(), name: jwk.get(name, "AQAB")}}))
        for name in ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
    ]
    for outcome in DOORS["asgi"](dpop_verifier(), requests):
        assert (outcome.status, outcome.reason) == (401, "dpop_proof_invalid")
        assert "private" in outcome.challenge
        assert jwk["d"] not in outcome.challenge


@pytest.mark.parametrize("header", [{"jwk": {"kty": "oct", "k": "c2VjcmV0"}}, {"jwk": {}}, {"x5c": ["MIIB"]}])
def test_a_header_without_a_public_key(header: dict[str, Any]) -> None:
    holder = Holder()
    bound = holder.token()
    (outcome,) = DOORS["asgi"](dpop_verifier(), [by_dpop(bound, holder.forged(bound, header))])
    assert (outcome.status, outcome.reason) == (401, "dpop_proof_invalid")
