"""The form of client secrets, for agents whose platform proves nothing. Pure.

`authsec_cs_`, 256 random bits in base64url, then a checksum: whoever scans repositories and logs finds a secret by its
prefix, and tells it from text that only looks like one, without asking the authority.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Final

SECRET_BYTES: Final = 32
_FORM: Final = re.compile(r"authsec_cs_[A-Za-z0-9_-]{49}")
_CHECKED: Final = 6  # characters of the checksum: 32 bits


def text_of(secret: bytes) -> str:
    """The secret as an agent sends it."""
    text = "authsec_cs_" + _base64url(secret)
    return text + _checksum(text)


def is_client_secret(text: str) -> bool:
    """Whether it has the form, and was copied whole: the checksum holds."""
    return _FORM.fullmatch(text) is not None and _checksum(text[:-_CHECKED]) == text[-_CHECKED:]


def _checksum(text: str) -> str:
    return _base64url(sha256(text.encode()).digest()[:4])


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
