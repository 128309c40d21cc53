"""What an authority answers when it gives no token, by `reason`."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any, Final

_OF: Final = {
    "client_id_missing": (400, "Send client_id in the query."),
    "client_id_invalid": (400, "Send the agent's id."),
    "invalid_scope": (400, "Send actions, separated by spaces."),
    "invalid_target": (400, "Name one of the APIs of the delegation as resource."),
    "attestation_required": (401, "Prove that you are this agent."),
    "attestation_invalid": (401, "Send a proof that is valid, for this authority, now."),
    "selectors_mismatch": (403, "Run where this agent is registered to run."),
    "client_disabled": (403, "An administrator can enable the agent again."),
    "action_not_allowed": (403, "Ask for less, or have it delegated."),
    "proof_not_accepted": (403, "Prove yourself in another way."),
    "client_not_found": (404, "Onboard the agent."),
    "no_delegation": (404, "Create a trust delegation for the agent."),
    "delegation_ended": (410, "Create another trust delegation for the agent."),
    "rate_limited": (429, "Come back later."),
    "unavailable": (503, "Come back later."),
}
_LATER: Final = "5"  # seconds: longer than a client waits by itself, so that a test does not


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """Status, headers and the JSON body, which may hold a token."""

    status: int = 200
    body: dict[str, Any] = field(repr=False)
    headers: dict[str, str] = field(default_factory=dict)


def denial(reason: str, details: str | None = None) -> HttpAnswer:
    """The refusal. Raises `ValueError` for a reason that no authority gives."""
    if reason not in _OF:
        raise ValueError(f"{reason!r} is no reason of an authority; those are: {', '.join(_OF)}")
    status, remedy = _OF[reason]
    headers = {"Retry-After": _LATER} if status in {429, 503} else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = {
        "error": "The test that runs has this refused.",
        "reason": reason,
        "details": remedy if details is None else details,
        "retryable": status in {429, 503},
        "request_id": f"test-{secrets.token_hex(4)}",
    }
    return HttpAnswer(status=status, body=body, headers=headers)
