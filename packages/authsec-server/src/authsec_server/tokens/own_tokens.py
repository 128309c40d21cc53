"""A delegation token that somebody shows the authority: is it one of its own?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from authsec.jose import JoseError, PublicKey, VerifiedJws, parse_compact

from authsec_server.attestation.explain import pasted
from authsec_server.failures import Invalid
from authsec_server.tokens.claims import ALGORITHM, TYPE


def read_pasted(text: str) -> str:
    """The token that somebody pasted, without what comes along. Raises `Invalid`, which repeats nothing of it."""
    found = pasted.read_pasted(text)
    if isinstance(found, pasted.NoToken):
        raise Invalid("token", found.said, "Paste the delegation token, which begins with eyJ, or give its jti.")
    return found.token


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTokens:
    """Knows this authority's tokens by its signature. `keys` are those that it publishes; they sign nothing else."""

    issuer: str
    keys: Callable[[], Sequence[PublicKey]]

    def read(self, token: str) -> VerifiedJws | None:
        """The token, whose claims are then what was signed here; None where it is not ours.

        Says nothing of whether it still counts: it may have expired, or been revoked. Blocks its thread, and raises
        `Unavailable` where the keys cannot be had. Nothing of a token is in any exception.
        """
        try:
            jws = parse_compact(token)
        except JoseError:
            return None  # no token at all
        # RFC 8725 section 3.11: nothing of another type passes for a token, whatever else a key may come to sign.
        if jws.header["alg"] != ALGORITHM or jws.header.get("typ") != TYPE or jws.claims.get("iss") != self.issuer:
            return None
        key = next((key for key in self.keys() if key.thumbprint() == jws.header.get("kid")), None)
        try:
            return jws.verified_by(key, algorithms={ALGORITHM}) if key else None
        except JoseError:
            return None  # not signed by us
