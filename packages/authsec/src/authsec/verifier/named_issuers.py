"""Which authority a token says it is from, before anybody has verified it."""

from __future__ import annotations

import base64
import json


def named_issuers(token: str) -> frozenset[str]:
    """Every issuer that any reader could take the token for one of; none if it is no JWT.

    Unverified: it may decide who verifies a token, or that it is passed on, never that it counts. Every `iss` is here
    where there are several, since readers differ in which one they take.
    """
    payload = "".join(token.split(".")[1:2]).encode("utf-8", "replace")
    try:
        members = json.loads(
            base64.b64decode(payload + b"===", altchars=b"-_"),
            object_pairs_hook=_Members,
            parse_int=str,  # Python refuses a number of many digits, which other readers take
        )
    except (ValueError, RecursionError):
        return frozenset()
    if not isinstance(members, _Members):
        return frozenset()
    return frozenset(value for name, value in members if name == "iss" and isinstance(value, str))


class _Members(list[tuple[str, object]]):
    """Those of one JSON object, repeated ones too."""
