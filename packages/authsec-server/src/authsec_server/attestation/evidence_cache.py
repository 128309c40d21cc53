"""Evidence that was verified once: the signature is not checked again while everything it rested on is the same."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from threading import Lock
from typing import Final, NamedTuple

from authsec.jose import PublicKey

from authsec_server.attestation.model import Evidence, Verified
from authsec_server.attestation.workload_tokens import FindKey
from authsec_server.issuers.model import TrustedIssuer

MAX_REMEMBERED: Final = 10_000
_Mark = tuple[str, int, bytes]  # trusted issuer, its revision, SHA-256 of the evidence; none of them is ever empty


class _Entry(NamedTuple):  # one is made for each new token: this takes a fraction of what a frozen dataclass does
    verified: Verified
    kid: str
    thumbprint: str


class RememberedEvidence:
    """What was verified, by trusted issuer, its revision and the whole of the evidence; the oldest in use makes room.

    For evidence that may be shown again only: what proves once never comes here. Safe for any number of threads.
    """

    def __init__(self, find_key: FindKey, *, at_most: int = MAX_REMEMBERED) -> None:
        self._find_key = find_key
        self._at_most = at_most
        self._entries: OrderedDict[_Mark, _Entry] = OrderedDict()
        self._lock = Lock()

    def recall(self, trusted_issuer: TrustedIssuer, evidence: Evidence, now: datetime) -> Verified | None:
        """What the evidence was found to say; None once it has expired, or its key is the trusted issuer's no more.

        Raises `KeysUnavailable`, as `find_key` does.
        """
        mark = _mark(trusted_issuer, evidence)
        with self._lock:
            entry = self._entries.get(mark)
            if entry is None:
                return None
            if entry.verified.until <= now:
                del self._entries[mark]
                return None
            self._entries.move_to_end(mark)
        key = self._find_key(trusted_issuer, entry.kid)  # not under the lock: it may fetch
        return entry.verified if key is not None and key.thumbprint() == entry.thumbprint else None

    def remember(
        self, trusted_issuer: TrustedIssuer, evidence: Evidence, verified: Verified, *, kid: str, key: PublicKey
    ) -> None:
        """Keep what was verified just now, with this key of the trusted issuer."""
        entry = _Entry(verified=verified, kid=kid, thumbprint=key.thumbprint())
        with self._lock:
            self._entries[_mark(trusted_issuer, evidence)] = entry
            if len(self._entries) > self._at_most:
                self._entries.popitem(last=False)


def _mark(trusted_issuer: TrustedIssuer, evidence: Evidence) -> _Mark:
    return trusted_issuer.id, trusted_issuer.revision, evidence.mark
