"""DPoP at the OAuth token endpoint (RFC 9449): check a request's proof, demand nonces, and use up each proof.

The URL in a proof is compared with the token endpoint of the metadata, never with the Host header. Every server of a
database accepts the nonces of the others: a nonce is a time with a MAC, and all servers have its key.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

from authsec.jose.dpop import WINDOW_SECONDS, DpopError, DpopProof, read_proof

from authsec_server.attestation.model import Failed, SingleUse
from authsec_server.tokens.refusal import Denied, Reason

HEADER: Final = "dpop"
NONCE_SECONDS: Final = 300  # a nonce is valid this long
LEEWAY: Final = 30  # seconds by which the clocks of two servers may differ
USED_BY: Final = "dpop"
"""Stands for a client in the table of used assertions, where no client has this id. Each proof is used up for all
clients together."""
_TIME, _MAC = 8, 16  # octets of the two parts of a nonce


class NonceNeeded(Exception):
    """The proof must have a nonce of this authority. `nonce` is a new one (RFC 9449 section 8)."""

    def __init__(self, nonce: str) -> None:
        super().__init__("The DPoP proof needs a nonce of this authority.")
        self.nonce = nonce


@dataclass(frozen=True, slots=True, kw_only=True)
class DpopNonces:
    """Makes nonces, and recognises the nonces of all servers of this authority. No server stores a nonce."""

    issuer: str
    key: bytes = field(repr=False)

    def make(self, now: float) -> str:
        """Return the nonce of this second."""
        time = int(now).to_bytes(_TIME)
        return base64.urlsafe_b64encode(time + self._mac(time)).decode()

    def is_valid(self, nonce: str, now: float) -> bool:
        """Whether a server of this authority made the nonce less than `NONCE_SECONDS` ago."""
        try:
            octets = base64.b64decode(nonce, altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            return False
        time, mac = octets[:_TIME], octets[_TIME:]
        if not hmac.compare_digest(mac, self._mac(time)):
            return False
        return -LEEWAY <= now - int.from_bytes(time) < NONCE_SECONDS

    def _mac(self, time: bytes) -> bytes:
        return hmac.digest(self.key, self.issuer.encode() + time, "sha256")[:_MAC]


@dataclass(frozen=True, slots=True, kw_only=True)
class DpopCheck:
    """Checks the DPoP proofs of token requests. `url` is the token endpoint. `needs_nonce` is a setting."""

    url: str
    nonces: DpopNonces
    needs_nonce: bool = False

    def read(self, values: Sequence[str], now: float) -> DpopProof | Denied | None:
        """Return the proof in these DPoP headers, the refusal of an invalid one, or None without a header.

        Raises `NonceNeeded` if the setting demands a nonce and the proof has none. Raises `NonceNeeded`, too, for a
        nonce that is too old or comes from another authority.
        """
        if not values:
            return None
        try:
            proof = read_proof(values, method="POST", url=self.url, now=now)
        except DpopError as error:
            # The caller chooses a part of the text after a colon, and each sentence is an event of its own.
            check = Failed(sentence=str(error).partition(":")[0])
            return Denied(reason=Reason.INVALID_DPOP_PROOF, details=str(error), failed=check)
        has_nonce = proof.nonce is not None and self.nonces.is_valid(proof.nonce, now)
        if not has_nonce and (self.needs_nonce or proof.nonce is not None):
            raise NonceNeeded(self.nonces.make(now))
        return proof


def single_use(proof: DpopProof) -> SingleUse:
    """Return the hash by which the proof is used up, until its `iat` is too old for each server."""
    its = sha256(f"{proof.thumbprint} {proof.jti}".encode()).hexdigest()
    until = datetime.fromtimestamp(proof.issued_at, UTC) + timedelta(seconds=WINDOW_SECONDS + 2 * LEEWAY)
    return SingleUse(jti_sha256=its, until=until)
