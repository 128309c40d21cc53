"""What an API answers to a request that is not let in: the same under ASGI, WSGI and Django.

Status and challenge follow RFC 6750 §3; the challenge names the metadata of RFC 9728 §5.1 where there are any. The JSON
body is for a person, a program and a model to act on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from authsec.errors import AgentRequired, InsufficientScope, VerificationError

ANSWERED: Final = (InsufficientScope, AgentRequired)
"""What an endpoint raises about the token that came with its own request, and a middleware answers for it."""

_UNQUOTABLE: Final = r"[^\x20-\x21\x23-\x5b\x5d-\x7e]"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectedSpace:
    """What challenges name: the space that is protected, and where its metadata are."""

    realm: str | None = None
    metadata_url: str | None = None


NOWHERE: Final = ProtectedSpace()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One whole answer; `headers` are those that only this kind of answer has."""

    status: int
    body: Mapping[str, Any]
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def content(self) -> bytes:
        return json.dumps(self.body).encode()

    def all_headers(self) -> list[tuple[str, str]]:
        return [
            ("content-type", "application/json"),
            ("content-length", str(len(self.content))),
            ("cache-control", "no-store"),
            *self.headers,
        ]


class InvalidRequest(VerificationError):
    """The request carries its token in a way that has more than one reading, or carries an empty one.

    `cause` tells the caller what has probably gone wrong before the request.
    """

    def __init__(self, message: str, *, cause: str = "") -> None:
        wanted = "Send one header: Authorization: Bearer <delegation token>."
        details = f"{cause} {wanted}" if cause else wanted
        super().__init__(message, reason="invalid_request", status=400, details=details)


def answer_to(error: VerificationError, space: ProtectedSpace = NOWHERE) -> Answer:
    """The answer to a failed verification: 401, 403, 400 or 503."""
    body = {"error": str(error), "reason": error.reason, "details": error.details, "retryable": error.retryable}
    if error.status >= 500:  # why nothing can be verified is for our log, not for strangers
        body["error"] = "Tokens cannot be verified at the moment."
        wait = max(1, int(error.retry_after or 0))
        headers = (("retry-after", str(wait)),) if error.retryable else ()
        return Answer(status=error.status, headers=headers, body=body)
    if isinstance(error, InsufficientScope):
        body |= _what_would_do(error)
    return Answer(status=error.status, headers=(_challenge(space, _parameters(error)),), body=body)


def _parameters(error: VerificationError) -> Mapping[str, str]:
    if isinstance(error, AgentRequired):  # RFC 6750 §3.1: to a request without credentials, no error is named
        return {}
    described = {"error": "invalid_token", "error_description": str(error)}
    if isinstance(error, InsufficientScope):
        sufficient = error.required[:1] if error.any_of else error.required
        where = {"error_uri": error.grant_at} if error.grant_at else {}
        return described | {"error": "insufficient_scope", "scope": " ".join(sufficient)} | where
    if isinstance(error, InvalidRequest):
        return described | {"error": "invalid_request"}
    return described | {"reason": error.reason}  # RFC 6750 §3 allows further parameters; the SDK reads this one


def _what_would_do(error: InsufficientScope) -> Mapping[str, Any]:
    """What the agent, or the person it works for, can do now. `allowed_scope` is what of the call would pass."""
    return {
        "missing_actions": error.missing,
        "granted_actions": error.granted,
        "allowed_scope": " ".join(error.allowed),
        "grantable": True,
        "grant_at": error.grant_at,
        "for_model": error.for_model,
    }


def _challenge(space: ProtectedSpace, parameters: Mapping[str, str]) -> tuple[str, str]:
    around = {"realm": space.realm, "resource_metadata": space.metadata_url, **parameters}
    # RFC 6750 §3 allows these characters; the others could end the quoted string or the header.
    quoted = [f'{name}="{re.sub(_UNQUOTABLE, "?", value)}"' for name, value in around.items() if value is not None]
    return "www-authenticate", f"Bearer {', '.join(quoted)}".rstrip()
