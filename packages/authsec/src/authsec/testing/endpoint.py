"""An HTTP endpoint on loopback with the authority's paths that an agent uses, and its denials by `reason`."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

_MOST_BYTES: Final = 64 * 1024

_REASONS: Final = {
    "client_id_missing": (400, "Add ?client_id=<the agent's Client ID>."),
    "client_id_invalid": (
        400,
        "A Client ID has the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, in lower case.",
    ),
    "invalid_scope": (400, "Send actions, separated by spaces."),
    "invalid_target": (400, "Set resource to one of the APIs of the delegation."),
    "attestation_required": (401, "Prove that you are this agent."),
    "attestation_invalid": (401, "Send a proof that is valid, for this authority, now."),
    "selectors_mismatch": (403, "Run where this agent is registered to run."),
    "client_disabled": (403, "An administrator can enable it again."),
    "action_not_allowed": (403, "Request less, or ask for a wider delegation."),
    "proof_not_accepted": (403, "Use another kind of proof."),
    "client_not_found": (404, "Check AUTHSEC_AGENT_CLIENT_ID against the list of clients."),
    "no_delegation": (404, "Ask an administrator for a trust delegation."),
    "delegation_ended": (410, "Ask an administrator for a new trust delegation."),
    "rate_limited": (429, "Try again later."),
    "unavailable": (503, "Try again later."),
}
# A person can grant the request after these refusals.
_GRANTABLE: Final = {"no_delegation", "delegation_ended", "action_not_allowed"}
# seconds: a client fails at once instead of waiting so long
_LATER: Final = "5"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """An HTTP answer: status, headers and JSON body. The body may contain a token."""

    status: int = 200
    body: dict[str, Any] = field(repr=False)
    headers: dict[str, str] = field(default_factory=dict)


Answering = Callable[[str, str, Mapping[str, Sequence[str]], Sequence[str]], HttpAnswer]
"""Takes the method, the path, the fields of query and form, and the values of the DPoP headers."""


class Endpoint:
    """An HTTP server on its own loopback port. It runs from its creation to `close`."""

    def __init__(self, answering: Answering) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(answering))
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, name="authsec-testing", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(answering: Answering) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            form = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), _MOST_BYTES)).decode(
                "ascii", "replace"
            )
            sent = parse_qs(address.query) | parse_qs(form)
            with suppress(OSError):  # the client may have closed the connection
                proofs = self.headers.get_all("DPoP") or ()
                self.reply(answering(self.command, address.path, sent, proofs))

        do_POST = do_GET  # noqa: N815 - the name in BaseHTTPRequestHandler

        def reply(self, answer: HttpAnswer) -> None:
            body = json.dumps(answer.body).encode()
            self.send_response(answer.status)
            usual = {"Content-Type": "application/json", "Cache-Control": "no-store", "Content-Length": str(len(body))}
            for name, value in {**usual, **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in BaseHTTPRequestHandler
            """Log nothing, to keep the test's output clean."""

    return Handler


def denial(
    reason: str,
    details: str | None = None,
    *,
    grant_at: str | None = None,
    missing: Sequence[str] = (),
    allowed: Sequence[str] = (),
) -> HttpAnswer:
    """Return the response that refuses a request. Raises `ValueError` for a reason that no authority uses.

    `grant_at` is the page where a person can grant the request. `missing` are the requested actions that are not
    delegated. `allowed` are the requested actions that are delegated.
    """
    if reason not in _REASONS:
        raise ValueError(f"{reason!r} is not a reason; the reasons are: {', '.join(_REASONS)}")
    status, remedy = _REASONS[reason]
    headers = {"Retry-After": _LATER} if status in {429, 503} else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body: dict[str, Any] = {
        "error": "The running test refuses this request.",
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
