"""The form of OAuth errors (RFC 6749 section 5.2): `error` is a code, and `error_description` a sentence.

Every response of the token endpoint has this form, also one that the middleware or the framework makes. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 - a path

_CODES: Mapping[int, str] = {
    429: "temporarily_unavailable",
    500: "server_error",
    503: "temporarily_unavailable",
}
_PLAIN: Final = str.maketrans({'"': "'", "\\": "/", "\n": " ", "\N{HORIZONTAL ELLIPSIS}": "..."})


def as_oauth(body: Mapping[str, object], status: int, code: str = "") -> dict[str, object]:
    """Return the error body in the form of OAuth. Without a `code`, the status decides the code.

    `error_description` contains both `error` and `details`, because many clients show only `error_description`. A body
    that has this form stays unchanged.
    """
    if "error_description" in body:
        return dict(body)
    said = f"{body['error']} {body['details']}".strip()
    return {**body, "error": code or _CODES.get(status, "invalid_request"), "error_description": _allowed(said)}


def _allowed(text: str) -> str:
    """Return the text with only those characters that `error_description` may have."""
    plain = text.translate(_PLAIN)
    return "".join(char if " " <= char <= "~" else "?" for char in plain)
