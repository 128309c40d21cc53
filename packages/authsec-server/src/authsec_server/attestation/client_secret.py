"""A client secret: the client sends it with its client_id by HTTP Basic (RFC 6749 section 2.3.1, RFC 7617).

The weakest proof there is, for what can give no other: it shows that the caller has read the secret, and no more.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from authsec.client_secret import is_client_secret

from authsec_server.attestation.model import Proved, Refused, invalid
from authsec_server.clients.model import MAX_PROOFS, Client, Proof, ProofKind
from authsec_server.web.oauth import read_basic

_HOW: Final = "Send `Authorization: Basic base64(client_id:secret)`, with the secret as it was shown, whole."
_UNKNOWN: Final = (
    "This secret is not this client's, or counts no longer: it was rotated or removed, or has ended. An operator can "
    "make another."
)
_NOBODYS: Final = "0" * 64  # the hash of nothing that anybody could find


def verify(credential: str, client: Client, now: datetime) -> Proved | Refused:
    """Whether the credential holds the client's id and a secret of its that counts.

    It is always compared with the hashes of as many secrets as a client may have. So neither the answer nor its time
    tells whether the client has any, or which came close.
    """
    sent = read_basic(credential)
    if sent is None or not is_client_secret(sent[1]):
        return invalid(f"It is no client_id with a client secret. {_HOW}")
    named, text = sent
    if named != client.id:
        return invalid(f"The client_id in the Authorization header is another than the one that asks. {_HOW}")
    shown = sha256(text.encode()).hexdigest()
    held = [proof for proof in client.proofs if _counts(proof, now)]
    hashes = [proof.secret_sha256 or _NOBODYS for proof in held] + [_NOBODYS] * (MAX_PROOFS - len(held))
    agree = [compare_digest(shown, each) for each in hashes]  # all of them, whichever it is
    if True not in agree[: len(held)]:
        return invalid(_UNKNOWN)
    return Proved(proof_id=held[agree.index(True)].id, kind=ProofKind.SECRET)


def _counts(proof: Proof, now: datetime) -> bool:
    return proof.kind is ProofKind.SECRET and proof.stands(now)
