"""The format of enrolment codes: the code that a person copies from a page, and its stored hash. Pure.

A code is 160 random bits in Crockford's base32: 32 characters in groups of four. No character is easily
confused with another. A code works only once and only for some minutes, so a person may write it on a command
line.
"""

from __future__ import annotations

import re
from base64 import b32encode
from hashlib import sha256
from typing import Final

CODE_BYTES: Final = 20
POSSESSION_TYPE: Final = "authsec-enrolment+jwt"
"""The `typ` of a proof of possession. It differs from the `typ` of an agent's assertion (RFC 8725 §3.11)."""

_RFC_4648: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_WRITTEN: Final = str.maketrans(_RFC_4648, _CROCKFORD)
_READ: Final = str.maketrans("OIL", "011", "- ")
_CODE: Final = re.compile(rf"[{_CROCKFORD}]{{32}}")


def text_of(code: bytes) -> str:
    """Format the code for display: eight groups of four characters, such as `7K3M-…`."""
    text = b32encode(code).decode().translate(_WRITTEN)
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def read_code(text: str) -> str | None:
    """Normalize a typed code and remove its hyphens; return None if `text` cannot be a code."""
    read = text.upper().translate(_READ) if len(text) <= 100 else ""
    return read if _CODE.fullmatch(read) else None


def hashed(code: str) -> str:
    """Return the SHA-256 of a code in hex. The authority stores the hash, and the agent signs it.

    A hash without salt is enough for 160 random bits.
    """
    return sha256(code.encode()).hexdigest()
