"""What an introspection endpoint has answered about a token (RFC 7662 §2.2): does it count, and is it about that one?

Pure. No text here holds anything of the token or of the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from authsec.verifier.documents import DocumentRefused

_SAME: Final = ("iss", "sub", "jti", "client_id", "exp", "authority_version")


def counts(answer: Mapping[str, Any], answered: str | None, *, audience: str, claims: Mapping[str, Any]) -> bool:
    """Whether the token with these (verified) claims counts. `answered` is the audience that the endpoint answered.

    Raises `DocumentRefused` for an answer that is about something else. A token that does not count is refused for
    good, so it must be certain that the question was understood: with the credential of another API, every token would
    look dead.
    """
    if answered != audience:
        raise DocumentRefused(
            "the credential is not that of this API: its audience at the authority is another"
            if answered
            else "the introspection endpoint does not say which API it has answered"
        )
    active = answer.get("active")
    if type(active) is not bool:
        raise DocumentRefused("the introspection endpoint does not say whether the token is active")
    if active and any(answer.get(name) != claims[name] for name in _SAME):
        raise DocumentRefused("the introspection endpoint has answered about another token")
    return active
