"""Secrets that the authority makes itself: 256 random bits, shown once, kept as a hash. Not the passwords of people."""

from __future__ import annotations

import base64
import re
from hashlib import sha256

SECRET_BYTES = 32
_TEXT = re.compile(r"[A-Za-z0-9_-]{43}")


def text_of(secret: bytes) -> str:
    """The secret in 43 characters of base64url (RFC 4648 section 5), fit for a cookie and a URL."""
    return base64.urlsafe_b64encode(secret).rstrip(b"=").decode()


def is_secret(text: str) -> bool:
    """Whether it has the form of such a text. What has not is never looked up."""
    return _TEXT.fullmatch(text) is not None


def hashed(text: str) -> str:
    """What is stored, and looked up: SHA-256, hex.

    A plain hash is enough for 256 random bits, and the look-up need not take constant time: what its timing could tell
    is how many leading digits of a *hash* agree, and nobody can choose a secret by its hash.
    """
    return sha256(text.encode()).hexdigest()
