"""HTTP Basic as OAuth's clients send it: a name and a secret (RFC 7617, RFC 6749 section 2.3.1). Pure."""

from __future__ import annotations

from base64 import b64decode
from typing import Final
from urllib.parse import unquote_plus

MAX_BYTES: Final = 1024  # each character of either part may be percent-encoded


def read_basic(credential: str) -> tuple[str, str] | None:
    """The two parts; None where it is no such text.

    Each part was form-encoded before they were joined, so a colon can only be the joint.
    """
    if len(credential) > MAX_BYTES:
        return None
    try:
        joined = b64decode(credential, validate=True).decode("ascii")
    except ValueError:  # of either: the same answer to whatever is no such text
        return None
    named, joint, secret = joined.partition(":")
    return (unquote_plus(named), unquote_plus(secret)) if joint else None
