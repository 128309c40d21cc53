"""Hash passwords with Argon2id (RFC 9106), only a few at a time.

Each hash is slow and needs much memory on purpose. Never hash inside a transaction: the transaction would
hold its lock during the hash. Then strangers could stop the authority by sending wrong passwords.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from authsec_server.accounts.model import passwords
from authsec_server.failures import Unavailable

AT_ONCE = 2  # 64 MiB each
WAITING = 6  # threads that may stand in line; more would take them from those who fetch tokens


class Hashing:
    """Argon2id hasher with the library's default parameters. Raises `Unavailable` when too many callers wait."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._line = threading.BoundedSemaphore(AT_ONCE + WAITING)
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._nobodys = _unreachable_hash(self._hasher)

    def hash(self, password: str) -> str:
        """Return the hash of an accepted password, with its salt and parameters."""
        with self._place():
            return self._hasher.hash(password)

    def verify(self, password_hash: str | None, typed: str) -> bool:
        """Return whether the typed password matches the hash.

        `password_hash` is None if there is no account or no password. The result is then False, after the same
        amount of computation. Otherwise the response time would show which accounts exist.
        """
        password = passwords.entered(typed)
        possible = passwords.is_possible(password)
        with self._place():
            right = self._matches(password_hash or self._nobodys, password if possible else "")
        return right and possible and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Return whether the hash was made with other parameters than the present ones."""
        return self._hasher.check_needs_rehash(password_hash)

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):  # another password, or no hash: neither lets anybody in
            return False

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._line.acquire(blocking=False):
            raise Unavailable("Too many people are signing in right now.")
        try:
            with self._places:
                yield
        finally:
            self._line.release()


def _unreachable_hash(hasher: PasswordHasher) -> str:
    """Return a hash that no known password matches: all bits of the hash are 0. It has the present parameters."""
    salt, tag = (_b64(bytes(length)) for length in (hasher.salt_len, hasher.hash_len))
    parameters = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${parameters}${salt}${tag}"


def _b64(data: bytes) -> str:
    return base64.b64encode(data).rstrip(b"=").decode()
