"""Cache of verified evidence, which saves a second signature check.

An entry is used only while the trusted issuer and its key do not change.
"""

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


class EvidenceCache:
    """Cache of verified evidence, by trusted issuer, revision and hash of the evidence. Thread-safe.

    A full cache drops the least recently used entry. Evidence for a single use is never cached.
    """

    def __init__(self, find_key: FindKey, *, at_most: int = MAX_REMEMBERED) -> None:
        self._find_key = find_key
        self._at_most = at_most
        self._entries: OrderedDict[_Mark, _Entry] = OrderedDict()
        self._lock = Lock()

    def recall(self, trusted_issuer: TrustedIssuer, evidence: Evidence, now: datetime) -> Verified | None:
        """Return the cached result for this evidence; None if there is none.

        The result is also None if the evidence has expired, or if the trusted issuer no longer has the key. Raises
        `KeysUnavailable` if `find_key` does.
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
        """Cache the result of evidence that was just verified with this key of the trusted issuer."""
        entry = _Entry(verified=verified, kid=kid, thumbprint=key.thumbprint())
        with self._lock:
            self._entries[_mark(trusted_issuer, evidence)] = entry
            if len(self._entries) > self._at_most:
                self._entries.popitem(last=False)


def _mark(trusted_issuer: TrustedIssuer, evidence: Evidence) -> _Mark:
    return trusted_issuer.id, trusted_issuer.revision, evidence.mark
