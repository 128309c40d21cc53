"""A client secret: the client sends it with its client_id by HTTP Basic (RFC 6749 section 2.3.1, RFC 7617).

A client secret is the weakest proof, for clients that have no other proof. It proves only that the caller
has read the secret.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from authsec.client_secret import is_client_secret

from authsec_server.attestation.model import WRONG_SECRET, Proved, Refused, invalid, invalid_own
from authsec_server.clients.model import MAX_PROOFS, Client, Proof, ProofKind
from authsec_server.web.oauth import read_basic

_HOW: Final = "Send `Authorization: Basic base64(client_id:secret)`, with the complete secret as it was shown."
_UNKNOWN: Final = (
    "This secret does not belong to this client or is no longer valid. The secret may have expired, or was rotated "
    "or removed. An operator can create a new secret."
)
_NOBODYS: Final = "0" * 64  # the hash of nothing that anybody could find


def verify(credential: str, client: Client, now: datetime) -> Proved | Refused:
    """Check that the credential contains the client's id and an unexpired secret of the client."""
    sent = read_basic(credential)
    if sent is None or not is_client_secret(sent[1]):
        return invalid(f"The proof is not a client_id with a client secret. {_HOW}")
    named, text = sent
    if named != client.id:
        return invalid(f"The client_id in the Authorization header differs from the client_id of the request. {_HOW}")
    return verify_secret(text, client, now)


def verify_secret(text: str, client: Client, now: datetime) -> Proved | Refused:
    """Check that the text is an unexpired secret of the client.

    The function always compares with `MAX_PROOFS` hashes, the most that a client may have. So the response time
    does not reveal whether the client has a secret, or which secret was similar. The text of the refusal does
    not reveal this either.
    """
    shown = sha256(text.encode()).hexdigest()
    held = [proof for proof in client.proofs if _is_valid(proof, now)]
    hashes = [proof.secret_sha256 or _NOBODYS for proof in held] + [_NOBODYS] * (MAX_PROOFS - len(held))
    agree = [compare_digest(shown, each) for each in hashes]  # all of them, whichever it is
    if True not in agree[: len(held)]:
        return invalid_own(_UNKNOWN, WRONG_SECRET)
    return Proved(proof_id=held[agree.index(True)].id, kind=ProofKind.SECRET)


def _is_valid(proof: Proof, now: datetime) -> bool:
    return proof.kind is ProofKind.SECRET and proof.is_valid(now)
