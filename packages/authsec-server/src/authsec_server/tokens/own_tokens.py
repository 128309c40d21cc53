"""Check whether this authority signed a delegation token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from authsec.jose import JoseError, PublicKey, VerifiedJws, parse_compact

from authsec_server.attestation.explain import pasted
from authsec_server.failures import Invalid
from authsec_server.keys.model import algorithm_of
from authsec_server.tokens.claims import TYPE


def read_pasted(text: str) -> str:
    """Return the pasted token without surrounding text. Raises `Invalid`.

    The error never contains the pasted text.
    """
    found = pasted.read_pasted(text)
    if isinstance(found, pasted.NoToken):
        raise Invalid("token", found.said, "Paste the delegation token (it begins with eyJ), or give its jti.")
    return found.token


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTokens:
    """Recognises this authority's tokens by their signature.

    `keys` returns the published keys. These keys sign only delegation tokens.
    """

    issuer: str
    keys: Callable[[], Sequence[PublicKey]]

    def read(self, token: str) -> VerifiedJws | None:
        """Return the verified token, or None if this authority did not sign the token.

        The method does not check whether the token has expired or was revoked. The call blocks its thread. Raises
        `Unavailable` if the keys cannot be loaded. No exception contains any part of a token.
        """
        try:
            jws = parse_compact(token)
        except JoseError:
            return None  # no token at all
        # RFC 8725 section 3.11: only the type of delegation tokens is accepted, even if keys sign other types later.
        if jws.header.get("typ") != TYPE or jws.claims.get("iss") != self.issuer:
            return None
        key = next((key for key in self.keys() if key.thumbprint() == jws.header.get("kid")), None)
        try:
            return jws.verified_by(key, algorithms={algorithm_of(key.kind)}) if key else None
        except JoseError:
            return None  # not signed by us
