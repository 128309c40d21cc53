"""What an authority answers when it gives no token, by `reason`: in its own words, since tests compare them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_OF: Final = {
    "client_id_missing": (400, "Add ?client_id=<the agent's Client ID>."),
    "client_id_invalid": (
        400,
        "A Client ID has the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, in lower case.",
    ),
    "invalid_scope": (400, "Send actions, separated by spaces."),
    "invalid_target": (400, "Name one of the APIs of the delegation as resource."),
    "attestation_required": (401, "Prove that you are this agent."),
    "attestation_invalid": (401, "Send a proof that is valid, for this authority, now."),
    "selectors_mismatch": (403, "Run where this agent is registered to run."),
    "client_disabled": (403, "An administrator can enable it again."),
    "action_not_allowed": (403, "Ask for less, or have it delegated."),
    "proof_not_accepted": (403, "Prove yourself in another way."),
    "client_not_found": (404, "Check AUTHSEC_AGENT_CLIENT_ID against the list of clients."),
    "no_delegation": (404, "Ask an administrator for a trust delegation."),
    "delegation_ended": (410, "Ask an administrator for a new trust delegation."),
    "rate_limited": (429, "Come back later."),
    "unavailable": (503, "Come back later."),
}
_GRANTABLE: Final = {"no_delegation", "delegation_ended", "action_not_allowed"}  # by whoever opens the page
_LATER: Final = "5"  # seconds: longer than a client waits by itself, so that a test does not


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """Status, headers and the JSON body, which may hold a token."""

    status: int = 200
    body: dict[str, Any] = field(repr=False)
    headers: dict[str, str] = field(default_factory=dict)


def denial(
    reason: str,
    details: str | None = None,
    *,
    grant_at: str | None = None,
    missing: Sequence[str] = (),
    allowed: Sequence[str] = (),
) -> HttpAnswer:
    """The refusal. Raises `ValueError` for a reason that no authority gives.

    `grant_at` is the page where a person can help, `missing` and `allowed` what of the request is not delegated and is.
    """
    if reason not in _OF:
        raise ValueError(f"{reason!r} is no reason of an authority; those are: {', '.join(_OF)}")
    status, remedy = _OF[reason]
    headers = {"Retry-After": _LATER} if status in {429, 503} else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body: dict[str, Any] = {
        "error": "The test that runs has this refused.",
        "reason": reason,
        "details": remedy if details is None else details,
        "retryable": status in {429, 503},
        "request_id": f"test-{secrets.token_hex(4)}",
    }
    if reason in _GRANTABLE and grant_at:
        body |= {"grantable": True, "grant_at": grant_at}
    body |= {"missing_actions": list(missing)} if missing else {}
    body |= {"allowed_scope": " ".join(allowed)} if allowed else {}
    return HttpAnswer(status=status, body=body, headers=headers)
