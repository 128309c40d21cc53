"""Detect private keys in a text. Pure.

People sometimes paste a private key instead of a public key or a token. Such a text is never stored, and
never shown again. The scan does not parse JSON, so it also finds a key without a closing brace.
"""

from __future__ import annotations

import re

EXPOSED = "AuthSec did not store it. Treat it as exposed, and replace it."
_MEMBER = re.compile(r'"(?:d|p|q|dp|dq|qi|oth|k|private_key)"\s*:')  # RFC 7518 section 6; and a service account's


def holds_private_key(text: str) -> bool:
    """Return whether the text contains a private or symmetric key: in PEM, as a JWK, or within other JSON."""
    return "PRIVATE KEY" in text or _MEMBER.search(text) is not None
