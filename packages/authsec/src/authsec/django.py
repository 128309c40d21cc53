"""Protect a Django API with one line in MIDDLEWARE: first in the list, or right after the CORS middleware.

    MIDDLEWARE = ["authsec.django.BearerAuth", …]
    AUTHSEC = {"verifier": TokenVerifier(issuer=…, audience=…)}

    def show(request, id):
        identity_of(request).require("customers:read")

`AUTHSEC` also accepts the settings of `authsec.gate.GateSettings`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http import HttpResponse

from authsec import traces
from authsec.errors import ConfigError
from authsec.gate import ANSWERED, Gate, Response, agent_in, identity_in
from authsec.verifier import VerifiedToken
from authsec.wsgi import authorizations, proofs, request_targets, traceparents

if TYPE_CHECKING:
    from authsec.verifier import DpopRequest

__all__ = ["BearerAuth", "agent_of", "identity_of"]


def identity_of(request: Any) -> VerifiedToken:
    """Return the verified agent that sent this request.

    Raises `LookupError` if the request has no verified agent, for example on a public path. With
    `other_issuers="pass"`, a request may pass to the API's own authentication. For such a request this function
    raises `AgentRequired`, which becomes a 401.
    """
    return identity_in(request.META)


def agent_of(request: Any) -> VerifiedToken | None:
    """Return the verified agent, or None if the request was passed to the API's own authentication.

    Use this function in views that serve agents and other callers.
    """
    return agent_in(request.META)


class BearerAuth:
    """Verifies the bearer token of every request before a view runs, under WSGI and under ASGI.

    Under ASGI, Django runs this middleware in a thread, because the middleware may wait for a key set.
    """

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        given = getattr(settings, "AUTHSEC", None)
        if not isinstance(given, dict) or "verifier" not in given:
            raise ConfigError(
                'The Django settings need AUTHSEC = {"verifier": TokenVerifier(issuer=…, audience=…)}',
                reason="verifier_missing",
            )
        self._get_response = get_response
        self._gate = Gate(**given)

    def __call__(self, request: Any) -> Any:
        decide = partial(
            self._gate.enter,
            request.path,
            authorizations(request.META),
            lambda: _dpop_request(request),
            path_info=request.path_info,
        )
        entered = traces.verified(decide, lambda: traceparents(request.META))
        if isinstance(entered, Response):
            return _response(entered)
        self._gate.keep(request.META, entered)
        return self._get_response(request)

    def process_exception(self, request: Any, error: Exception) -> Any:  # noqa: ARG002 - the signature that Django calls
        """Return the response for an `InsufficientScope` or `AgentRequired` that a view raised; else return None."""
        return _response(self._gate.refuse(error)) if isinstance(error, ANSWERED) else None


def _dpop_request(request: Any) -> DpopRequest:
    """Describe the request of a token that is bound to a key. Only under ASGI, the request has a `scope`."""
    from authsec.verifier.key_binding import DpopRequest, sent_path  # only APIs that use it wait for the import

    targets = [*request_targets(request.META), getattr(request, "scope", {}).get("raw_path")]
    path = sent_path(request.path.encode(), *targets)
    return DpopRequest(method=request.method, path=path, proofs=proofs(request.META))


def _response(answer: Response) -> Any:
    return HttpResponse(answer.content, status=answer.status, headers=dict(answer.all_headers()))
