"""Turns the authority's error responses into exceptions.

A framework passes an exception's text to the model. So the text consists of sentences of this module, one for
each `reason`. From the response it contains only the request id and `details`, cleaned and shortened.
`details` explains how to satisfy the authority.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from authsec.errors import (
    AuthenticationError,
    AuthSecError,
    DelegationDenied,
    InvalidResponse,
    RateLimited,
    ServerError,
    TokenRequestError,
)
from authsec.http_answer import MOST_BYTES, Answer
from authsec.safe_text import plain
from authsec.strict_json import StrictJsonError, loads

IN_A_PROGRAM = "by resource=… of delegated, get_token, requests_auth or httpx_auth"  # how a program names an API

_SENTENCES = {
    "client_id_missing": "The request does not say which agent it is for (client_id).",
    "client_id_invalid": "The authority does not accept this agent's client_id. `authsec agents list` shows it.",
    "invalid_scope": "The requested actions are malformed.",
    "invalid_target": "The requested actions are not delegated to this agent for the requested API.",
    "rate_limited": "The authority gets too many requests.",
    "client_not_found": "The authority does not know this agent. `authsec agents list` shows each agent's client_id.",
    "attestation_required": "The authority requires this agent to authenticate.",
    "attestation_invalid": "The authority did not accept this agent's proof.",
    "selectors_mismatch": "This workload is not registered as this agent.",
    "client_disabled": "An administrator has disabled this agent.",
    "no_delegation": "Nothing is currently delegated to this agent.",
    "delegation_ended": "The delegations of this agent have expired or were revoked.",
    "action_not_allowed": "The request has more actions than are delegated to this agent.",
    "proof_not_accepted": "The delegation does not accept this kind of proof.",
    "invalid_dpop_proof": "The authority did not accept this agent's DPoP proof.",
    "use_dpop_nonce": "The authority refused each DPoP proof, because its nonce was not the latest.",
    "unavailable": "The authority cannot issue tokens right now.",
}
_API_NOT_NAMED = f"This agent has delegations for several APIs, so the API must be named, {IN_A_PROGRAM}."
_LONGEST_DETAILS = 400
# The details of this reason explain how to send a proof, and the SDK does so itself.
_FOR_OTHER_PROGRAMS = {"attestation_required"}
_OF_OTHER_ADDRESSES = {"not_found", "method_not_allowed"}  # reasons of an authority for a wrong path
CLOCK_TOLERANCE = 30  # seconds by which an agent's clock may differ from the authority's
# Load balancers send these statuses too, with pages of their own.
_BUSY = {429, 500, 502, 503, 504}
_ROOT = "Check AUTHSEC_BASE_URL. It should be the server's root, like https://YOUR-AUTHORITY, without /authsec."
OfStatus = Mapping[int, tuple[type[AuthSecError], str]]
"""The exception class for each HTTP status, and the sentence for a reason that is not in `_SENTENCES`."""

_OF_TOKENS: OfStatus = {
    400: (DelegationDenied, "The authority refused the request."),
    401: (AuthenticationError, "The authority did not accept this agent's proof."),
    403: (DelegationDenied, "The authority refused the request."),
    404: (DelegationDenied, "The authority does not know this agent, or nothing is delegated to it."),
    410: (DelegationDenied, "The delegations of this agent have ended."),
}
_OF_PROOFS: Final = {"invalid_dpop_proof", "use_dpop_nonce"}  # reasons that no delegation causes, with status 400
_REASON = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.:-]{1,253}(?=/|$)")
_SCOPE = re.compile(r"(?=.{1,4000}$)[a-z0-9._-]{1,63}:[a-z0-9._-]{1,63}( [a-z0-9._-]{1,63}:[a-z0-9._-]{1,63})*")
_PAGE = re.compile(r"https?://[A-Za-z0-9.:-]{1,253}/[A-Za-z0-9._~/?=&%-]{0,1200}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def json_object(answer: Answer) -> dict[str, Any]:
    """Return the response's body as a JSON object; raises `InvalidResponse` for anything else."""
    try:
        body = loads(answer.body, max_bytes=MOST_BYTES)
    except StrictJsonError:
        body = None
    if not isinstance(body, dict):
        raise not_an_authority(answer)
    return body


def refusal(answer: Answer, now: datetime, of_status: OfStatus = _OF_TOKENS, *, names_api: bool = True) -> AuthSecError:
    """Return the exception for an error response. The default table `of_status` is for token requests.

    `now` is the time of day, for a Retry-After with a date. `names_api` is whether the request named an API.
    """
    body = _error_body(answer)
    if answer.status in _BUSY:
        return _come_back_later(answer, body, now)
    if body is not None and answer.status == 421 and body.get("reason") == "host_not_allowed":
        return _host_not_allowed(body)
    if body is None or answer.status not in of_status:
        return not_an_authority(answer)
    kind, sentence = of_status[answer.status]
    reason = _reason(body, f"http_{answer.status}")
    if reason in _OF_PROOFS:
        kind = AuthenticationError
    error = kind(
        _text(_SENTENCES.get(reason, sentence) if names_api or reason != "invalid_target" else _API_NOT_NAMED, body),
        reason=reason,
        status=answer.status,
        request_id=_request_id(body),
        retryable=body.get("retryable") is True,
    )
    if isinstance(error, DelegationDenied):
        _add_what_would_do(error, body)
    return error


def oauth_error_code(answer: Answer) -> str:
    """Return the error code of an OAuth error response (RFC 6749 §5.2); an empty string for any other response."""
    try:
        code = json_object(answer).get("error")
    except InvalidResponse:
        return ""
    return code if isinstance(code, str) else ""


def retrying(error: AuthSecError) -> str:
    """Return a sentence that says whether a retry may help, and after how many seconds."""
    if not error.retryable:
        return "Retrying will not help."
    return f"Retrying may help in {math.ceil(error.retry_after)} s." if error.retry_after else "Retrying may help."


def without_proof(looked_at: Sequence[str]) -> str:
    """Return the remedy if no source has a proof. `looked_at` contains the result of `looked_at` of each source."""
    places = [text.partition("\n") for text in looked_at]
    remedies = "".join(f"\n{remedy}" for _, _, remedy in places if remedy)
    return (
        "Set AUTHSEC_AGENT_KEY_FILE to the file of the agent's registered key. In a cluster, mount the volume on "
        "its Connect tab. On a laptop, run `authsec enrol`. This machine has no proof (the SDK looked for: "
        f"{'; '.join(place for place, _, _ in places)}). Retrying will not help.{remedies}"
    )


def clock_differs(there: datetime | None, here: datetime) -> str:
    """Return the remedy if this machine's clock differs too much from the authority's; otherwise an empty string.

    The authority refuses the proofs of a machine with such a clock.
    """
    if there is None or abs(ahead := (here - there).total_seconds()) <= CLOCK_TOLERANCE:
        return ""
    far = f"{abs(ahead) // 60:.0f} min" if abs(ahead) >= 120 else f"{abs(ahead):.0f} s"
    return (
        f"This machine's clock is {far} {'ahead of' if ahead > 0 else 'behind'} the authority's clock. From a "
        f"difference of {CLOCK_TOLERANCE} s, the authority refuses proofs. First synchronise this machine's clock "
        "with the network (`timedatectl set-ntp true`)."
    )


def document_refusal(answer: Answer, now: datetime) -> AuthSecError:
    """Return the exception for an error response of a public endpoint.

    An authority never refuses a caller at a public endpoint. So a refusal means that the server is no authority,
    and the exception is `InvalidResponse`.
    """
    error = refusal(answer, now)
    return not_an_authority(answer) if isinstance(error, AuthenticationError | DelegationDenied) else error


def not_an_authority(answer: Answer) -> InvalidResponse:
    """Return the error for a response that no AuthSec authority would send."""
    where = redirected_to(answer)
    if where is not None:
        reason = "redirected"
        text = (
            f"The address redirects to {where}. Redirects are not followed, because they would send this agent's "
            "proof there."
        )
    else:
        reason = "invalid_response"
        kind = ", a web page" if "html" in answer.content_type.lower() else ""
        text = f"A server answered (status {answer.status}{kind}), but it is not the root of an AuthSec authority."
    return InvalidResponse(f"{text} {_ROOT}", reason=reason, status=answer.status)


def _host_not_allowed(body: dict[str, Any]) -> InvalidResponse:
    """Return the error for a Host header with a name that the authority does not accept."""
    return InvalidResponse(
        "The authority does not accept the host name in AUTHSEC_BASE_URL. Use the authority's public URL, or ask "
        "an administrator to add the name to AUTHSEC_SERVER_ALLOWED_HOSTS.",
        reason="host_not_allowed",
        status=421,
        request_id=_request_id(body),
    )


def _come_back_later(answer: Answer, body: dict[str, Any] | None, now: datetime) -> TokenRequestError:
    """Return a retryable error for a response from an overloaded or unavailable server.

    The server may not be the authority. If the response does not have the authority's form, the text does not say
    that the authority sent it.
    """
    kind, reason = (RateLimited, "rate_limited") if answer.status == 429 else (ServerError, "unavailable")
    if body is None:
        stated = reason
        text = f"A server answered with status {answer.status}, but not like an AuthSec authority. {_ROOT}"
    else:
        stated = _reason(body, reason)
        text = _text(_SENTENCES.get(stated, _SENTENCES[reason]), body)
    return kind(
        text,
        reason=stated,
        status=answer.status,
        request_id=_request_id(body or {}),
        retryable=True,
        retry_after=_retry_after(answer.retry_after, now),
    )


def _error_body(answer: Answer) -> dict[str, Any] | None:
    """Return the authority's error body, or None if the body is not in the authority's form.

    Other servers send other bodies, such as `{"detail": "Not Found"}`.
    """
    try:
        body = json_object(answer)
    except InvalidResponse:  # Then only the status is known.
        return None
    return body if isinstance(body.get("error"), str) and _is_of_the_endpoint(body) else None


def _is_of_the_endpoint(body: dict[str, Any]) -> bool:
    """Whether the body can be from the authority's endpoint.

    If the address is wrong, an API may answer instead, and its reason would mislead. Two cases of real
    authorities need care:

    - An older server may send no reason. Such a body is accepted.
    - A newer server may send an unknown reason. Such a body is accepted only with a request id and `retryable`.

    The refusal of an API that `authsec.asgi` protects has no request id.
    """
    reason = body.get("reason")
    if reason is None:
        return True
    if not isinstance(reason, str):
        return False
    if reason in _SENTENCES or reason == "host_not_allowed":
        return True
    whole = isinstance(body.get("retryable"), bool) and _request_id(body) is not None
    return whole and reason not in _OF_OTHER_ADDRESSES


def _text(sentence: str, body: dict[str, Any]) -> str:
    details = None if body.get("reason") in _FOR_OTHER_PROGRAMS else body.get("details")
    request_id = _request_id(body)
    parts = [sentence, plain(details, _LONGEST_DETAILS) if isinstance(details, str) else ""]
    parts += [f"(request {request_id})" if request_id else ""]
    return " ".join(part for part in parts if part)


def _add_what_would_do(denied: DelegationDenied, body: dict[str, Any]) -> None:
    """Copy the missing actions, the allowed scope and the grant URL into the error.

    A model reads these values, so each is copied only if it is well formed.
    """
    missing, allowed, where = (body.get(name) for name in ("missing_actions", "allowed_scope", "grant_at"))
    if isinstance(missing, list) and all(isinstance(action, str) and _SCOPE.fullmatch(action) for action in missing):
        denied.missing_actions = tuple(missing)
    if isinstance(allowed, str) and _SCOPE.fullmatch(allowed):
        denied.allowed_scope = allowed
    if isinstance(where, str) and _PAGE.fullmatch(where):
        denied.grant_at = where


def _reason(body: dict[str, Any], otherwise: str) -> str:
    reason = body.get("reason")
    return reason if isinstance(reason, str) and _REASON.fullmatch(reason) else otherwise


def _request_id(body: dict[str, Any]) -> str | None:
    request_id = body.get("request_id")
    return request_id if isinstance(request_id, str) and _REQUEST_ID.fullmatch(request_id) else None


def _retry_after(header: str | None, now: datetime) -> float | None:
    """Return the seconds of a Retry-After header, which is a number or a date (RFC 9110 §10.2.3)."""
    if header is None:
        return None
    if header.isascii() and header.isdigit() and len(header) < 10:
        return float(header)
    try:
        return max(0.0, (parsedate_to_datetime(header).astimezone(UTC) - now).total_seconds())
    except ValueError:  # neither a number nor a date
        return None


def redirected_to(answer: Answer) -> str | None:
    """Return the scheme and host of a redirect's target. The rest of the URL is omitted, because it may be any text."""
    if not 300 <= answer.status < 400:
        return None
    target = _ORIGIN.match(answer.location or "")
    return target.group() if target else "another address"
