"""Whether a text holds what nobody may hand out. Pure.

Somebody pastes a private key where a public one or a token is asked for; such a text is kept nowhere, and shown to
nobody again. It is looked at as text, since a key stays one where a brace of the JSON around it is missing.
"""

from __future__ import annotations

import re

EXPOSED = "It was not kept, but it has left its place: consider it exposed, and replace it."
_MEMBER = re.compile(r'"(?:d|p|q|dp|dq|qi|oth|k|private_key)"\s*:')  # RFC 7518 section 6; and a service account's


def holds_private_key(text: str) -> bool:
    """Whether there is a private or symmetric key in it: in PEM, as a JWK, or within other JSON."""
    return "PRIVATE KEY" in text or _MEMBER.search(text) is not None
