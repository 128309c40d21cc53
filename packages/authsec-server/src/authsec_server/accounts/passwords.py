"""Passwords: the rules for a new one (NIST SP 800-63B section 3.1.1.2), and its hash by Argon2id (RFC 9106).

A new password must be long, and must not be a common first guess. No rule requires kinds of characters, and
passwords do not expire. No message ever contains any part of a password.

Each hash is slow and needs much memory on purpose. Never hash inside a transaction: the transaction would
hold its lock during the hash. Then strangers could stop the authority by sending wrong passwords.
"""

from __future__ import annotations

import base64
import re
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from authsec_server.failures import Invalid, Unavailable

MIN_PASSWORD = 12
MAX_PASSWORD = 200
MIN_DIFFERENT = 5
MIN_WORD = 3
MIN_OWN = 8  # characters that must remain without the person's name, address and common words
ADVICE = "Use a few words chosen at random."
# Common words in lists of leaked passwords. Without `password`, `password1234` has only four characters.
TRIED_FIRST = (
    *("1q2w3e", "1qaz2wsx", "admin", "administrator", "asdfgh", "asdfghjkl", "authsec", "autumn", "changeme"),
    *("correcthorsebatterystaple", "default", "iloveyou", "letmein", "p@ssw0rd", "p@ssword", "passw0rd", "password"),
    *("passwort", "q1w2e3", "qazwsx", "qwerty", "qwertyuiop", "qwertz", "qwertzuiop", "secret", "spring", "summer"),
    *("superuser", "temporary", "trustno1", "welcome", "winter", "zxcvbn", "zxcvbnm"),
)


def entered(typed: str) -> str:
    """Return the typed password in its normal form (NFC), which is hashed and compared.

    Keyboards differ in how they encode the same character.
    """
    return unicodedata.normalize("NFC", typed)


def is_possible(password: str) -> bool:
    """Return whether the text is not empty, not too long, and has only visible characters and spaces.

    The caller does not hash any other text.
    """
    return 0 < len(password) <= MAX_PASSWORD and _writable(password)


def acceptable(typed: str, *, known: Iterable[str]) -> str:
    """Return the new password, normalised. Raises `Invalid` if the password is too weak.

    `known` lists the person's public facts: address and name.
    """
    password = entered(typed)
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise _refused(f"must have {MIN_PASSWORD} to {MAX_PASSWORD} characters", ADVICE)
    if not _writable(password):
        raise _refused(
            "may have only visible characters and spaces",
            "A line break may have been pasted with the password.",
        )
    folded = password.casefold()
    if len(set(folded)) < MIN_DIFFERENT or _is_run(folded) or _repeats(folded):
        raise _refused("must not be a simple sequence or a repetition, such as abcdefghijkl", ADVICE)
    if len(_without(folded, [*TRIED_FIRST, *_words(known)])) < MIN_OWN:
        raise _refused("must not consist only of your name, your address and common words", ADVICE)
    return password


def _refused(rule: str, remedy: str) -> Invalid:
    return Invalid("password", f"A password {rule}.", remedy)


def _writable(password: str) -> bool:
    return all(unicodedata.category(char) not in {"Cc", "Cs", "Cn", "Zl", "Zp"} for char in password)


def _is_run(text: str) -> bool:
    """Return whether the characters only count up or only count down, as in `abcdefghijkl` or `987654321098`."""
    steps = {_step(first, second) for first, second in pairwise(text)}
    return steps in ({1}, {-1})


def _repeats(text: str) -> bool:
    """Return whether the text consists of one part that repeats.

    Write such a text twice, and remove the first and the last character: the result still contains the text.
    """
    return text in (text + text)[1:-1]


def _step(first: str, second: str) -> int:
    distance = ord(second) - ord(first)
    if first.isdigit() and second.isdigit():
        return {9: -1, -9: 1}.get(distance, distance)  # 0 follows 9
    return distance


def _words(known: Iterable[str]) -> set[str]:
    """Return the person's addresses and names, and the parts of them. Parts that are too short are left out."""
    words = set()
    for text in map(str.casefold, map(entered, known)):
        words |= {text, text.replace(" ", ""), *re.split(r"[\s@._+-]+", text)}
    return {word for word in words if len(word) >= MIN_WORD}


def _without(folded: str, words: Iterable[str]) -> str:
    """Return the password without these words. Longer words are removed first."""
    for word in sorted(words, key=len, reverse=True):
        folded = folded.replace(word, "")
    return folded


AT_ONCE = 2  # each hash needs 64 MiB
WAITING = 6  # threads that may wait; token requests need the other threads


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
        password = entered(typed)
        possible = is_possible(password)
        with self._place():
            right = self._matches(password_hash or self._nobodys, password if possible else "")
        return right and possible and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Return whether the hash was made with other parameters than the current ones."""
        return self._hasher.check_needs_rehash(password_hash)

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):  # a wrong password, or a malformed hash
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
    """Return a hash that no known password matches: all bits are 0. The hash has the current parameters."""
    salt, tag = (_b64(bytes(length)) for length in (hasher.salt_len, hasher.hash_len))
    parameters = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${parameters}${salt}${tag}"


def _b64(data: bytes) -> str:
    return base64.b64encode(data).rstrip(b"=").decode()
