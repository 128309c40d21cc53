"""Secrets that the authority makes: 256 random bits, shown once, stored as a hash.

Passwords are chosen by people, so `accounts.passwords` handles them in another way.
"""

from __future__ import annotations

import base64
import re
from hashlib import sha256

SECRET_BYTES = 32
_TEXT = re.compile(r"[A-Za-z0-9_-]{43}")


def text_of(secret: bytes) -> str:
    """Encode the secret as 43 characters of base64url (RFC 4648 section 5), safe in a cookie and a URL."""
    return base64.urlsafe_b64encode(secret).rstrip(b"=").decode()


def is_secret(text: str) -> bool:
    """Return whether the text has the form of a secret. A text without this form needs no look-up."""
    return _TEXT.fullmatch(text) is not None


def hashed(text: str) -> str:
    """Return the hash that is stored and looked up: SHA-256, in hex.

    A plain hash is enough for 256 random bits.
    The time of a look-up may show how many leading digits of a hash agree. The digits do not reveal the secret.
    """
    return sha256(text.encode()).hexdigest()
