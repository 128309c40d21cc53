"""The cache of verified tokens. For a cached token, only the key, the time and the revocations are checked again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from authsec.errors import ConfigError
from authsec.jose import PublicKey
from authsec.verifier.revocations.batch import Subject, subjects_of
from authsec.verifier.token import VerifiedToken


class CachedToken(NamedTuple):
    """A token that `key` signed and that passed all checks, except those of time and revocation.

    `subjects` are the subjects whose revocation revokes the token. The object contains hardly more than the fields that
    each request reads: thousands of larger objects would not fit into the processor's caches. The token itself is not
    stored.
    """

    kid: str
    key: PublicKey
    begins: int
    ends: int
    version: int
    subjects: tuple[Subject, ...]
    identity: VerifiedToken

    @classmethod
    def of(cls, claims: Mapping[str, Any], kid: str, key: PublicKey) -> Self:
        """Build the object from claims that have passed every check of `authsec.verifier.checks`."""
        return cls(
            kid,
            key,
            max(claims["nbf"], claims["iat"]),
            claims["exp"],
            claims["authority_version"],
            subjects_of(claims, kid),
            VerifiedToken.from_claims(claims),
        )


class VerificationCache:
    """A cache of at most `at_most` tokens, by the SHA-256 of the token; 0 disables it. Callable from any thread.

    The cache has two generations. A used token goes into the young generation. When the young generation is full,
    the old generation is deleted, and the young generation becomes the old one.

    Each step is a single dict operation, so no lock is needed. Concurrent threads can at worst lose cached
    tokens. After a fork, no lock must be reset.
    """

    __slots__ = ("_each", "_old", "_young")

    def __init__(self, at_most: int) -> None:
        if type(at_most) is not int or at_most < 0:
            raise ConfigError("remember= must be a whole number of tokens; 0 for none", reason="remember_invalid")
        self._each = at_most // 2
        self._young: dict[bytes, CachedToken] = {}
        self._old: dict[bytes, CachedToken] = {}

    def get(self, digest: bytes) -> CachedToken | None:
        """Return the cached token with this digest, and move it into the young generation; None if there is none."""
        known = self._young.get(digest)
        if known is None and (known := self._old.get(digest)) is not None:
            self.put(digest, known)
        return known

    def put(self, digest: bytes, known: CachedToken) -> None:
        """Add a token that passed every check."""
        if not self._each:
            return
        if len(self._young) >= self._each:
            self._old, self._young = self._young, {}
        self._young[digest] = known

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


def token_digest(token: str) -> bytes:
    """Return the SHA-256 of the token. Different texts have different digests, even if they are not valid Unicode."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
