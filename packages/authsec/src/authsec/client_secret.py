"""The format of client secrets, for agents whose platform issues no proof of identity. Pure.

The format is `authsec_cs_`, 256 random bits in base64url, and a checksum. Secret scanners find a secret by
the prefix. With the checksum, a scanner can recognise a false match without a request to the authority.
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
    """Return the secret in the form that an agent sends."""
    text = "authsec_cs_" + _base64url(secret)
    return text + _checksum(text)


def is_client_secret(text: str) -> bool:
    """Whether `text` has the format of a client secret. The checksum shows that no character is missing or wrong."""
    return _FORM.fullmatch(text) is not None and _checksum(text[:-_CHECKED]) == text[-_CHECKED:]


def _checksum(text: str) -> str:
    return _base64url(sha256(text.encode()).digest()[:4])


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
