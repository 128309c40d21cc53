"""A person registers a key and pastes the private half.

Readers that accept either half take it without a word, and the secret lies in a database, a log and a browser's
history. It is refused, and the person is told that the key must now be considered exposed.
"""

from __future__ import annotations

import pytest
from authsec.jose import JoseError, PrivateKey, PublicKey

PAIR = PrivateKey.generate_ec()


@pytest.mark.parametrize(
    "pasted",
    [
        PAIR.to_pem(),
        PAIR.to_pem().decode().replace("\n", "\r\n"),
        PAIR.public.to_pem() + PAIR.to_pem(),
        "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----",
    ],
)
def test_the_private_half_as_pem(pasted: bytes | str) -> None:
    with pytest.raises(JoseError, match=r"PRIVATE half.*exposed.*new pair.*public half") as caught:
        PublicKey.from_pem(pasted)
    assert caught.value.reason == "private_key"
    assert "AAAA" not in str(caught.value)


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_the_private_half_as_jwk(member: str) -> None:
    with pytest.raises(JoseError, match="exposed") as caught:
        PublicKey.from_jwk({**PAIR.public.to_jwk(), member: "aHVzaA"})
    assert caught.value.reason == "private_key"
    assert "aHVzaA" not in str(caught.value)
