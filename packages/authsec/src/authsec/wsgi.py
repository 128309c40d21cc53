"""WSGI middleware (PEP 3333) that admits only verified agents.

    application = BearerAuth(application, verifier=TokenVerifier(issuer=…, audience=…))

    identity_of(environ).require("customers:read")

For Flask use `authsec.flask`, for Django `authsec.django`. Both handle exceptions that the framework would
otherwise turn into a 500. If another framework turns exceptions into a 500, `BearerAuth.gate.refuse(error)`
returns the response to send.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol, Unpack

from authsec import traces
from authsec.gate import ANSWERED, Gate, GateSettings, Response, agent_in, identity_in
from authsec.verifier import VerifiedToken, Verifier

if TYPE_CHECKING:
    from authsec.verifier import DpopRequest

Environ = MutableMapping[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Any, Any], Iterable[bytes]]


class HasEnviron(Protocol):
    """A request object of Werkzeug (Flask) or of a similar library."""

    @property
    def environ(self) -> Any: ...


def identity_of(request: HasEnviron | Environ) -> VerifiedToken:
    """Return the verified agent that sent this request.

    Raises `LookupError` if the request has no verified agent, for example on a public path. With
    `other_issuers="pass"`, a request may pass to the API's own authentication. For such a request this function
    raises `AgentRequired`, which becomes a 401.
    """
    return identity_in(_environ_of(request))


def agent_of(request: HasEnviron | Environ) -> VerifiedToken | None:
    """Return the verified agent, or None if the request was passed to the API's own authentication.

    Use this function in endpoints that serve agents and other callers.
    """
    return agent_in(_environ_of(request))


def _environ_of(request: HasEnviron | Environ) -> Environ:
    environ: Environ = request if isinstance(request, MutableMapping) else request.environ
    return environ


class BearerAuth:
    """Verifies the bearer token of every request before `app` handles the request.

    `authsec.gate.GateSettings` explains the settings. The web server must pass on the Authorization header.
    mod_wsgi does so only with `WSGIPassAuthorization On`. An `InsufficientScope` that `app` raises becomes a 403.
    """

    def __init__(self, app: App, *, verifier: Verifier, **settings: Unpack[GateSettings]) -> None:
        self._app = app
        self.gate = Gate(verifier=verifier, **settings)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        decide = partial(
            self.gate.enter,
            _text(_path_bytes(environ)),
            authorizations(environ),
            lambda: _dpop_request(environ),
            path_info=_text(environ.get("PATH_INFO", "").encode("latin-1")),
        )
        entered = traces.verified(decide, lambda: traceparents(environ))
        if isinstance(entered, Response):
            return _send(entered, environ, start_response)
        self.gate.keep(environ, entered)
        return self._call_app(environ, start_response)

    def _call_app(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        begun = False

        def watched(*arguments: Any) -> Any:
            nonlocal begun
            begun = True
            return start_response(*arguments)

        try:
            return self._app(environ, watched)
        except ANSWERED as error:
            if begun:  # The response has already begun, so the server must close the connection.
                raise
            return _send(self.gate.refuse(error), environ, start_response)


def authorizations(environ: Environ) -> list[str]:
    """Return the Authorization header as a list, which is empty without the header.

    If the request has several such headers, the web server joins them with commas (RFC 3875 §4.1.18).
    """
    return [environ["HTTP_AUTHORIZATION"]] if "HTTP_AUTHORIZATION" in environ else []


def proofs(environ: Environ) -> list[str]:
    """Return the DPoP header as a list, which is empty without the header."""
    return [environ["HTTP_DPOP"]] if "HTTP_DPOP" in environ else []


def traceparents(environ: Environ) -> list[str]:
    """Return the traceparent header (W3C Trace Context) as a list, which is empty without the header."""
    return [environ["HTTP_TRACEPARENT"]] if "HTTP_TRACEPARENT" in environ else []


def request_targets(environ: Environ) -> list[Any]:
    """Return the target of the request as the caller sent it. Servers pass it under different names, or not at all."""
    return [environ[name] for name in ("RAW_URI", "REQUEST_URI") if name in environ]


def _dpop_request(environ: Environ) -> DpopRequest:
    """Describe the request of a token that is bound to a key."""
    from authsec.verifier.key_binding import DpopRequest, sent_path  # only APIs that use it wait for the import

    path = sent_path(_path_bytes(environ), *request_targets(environ))
    return DpopRequest(method=environ["REQUEST_METHOD"], path=path, proofs=proofs(environ))


def _path_bytes(environ: Environ) -> bytes:
    path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
    return path.encode("latin-1")


def _text(path: bytes) -> str:
    """Return a path as text. WSGI passes the path's bytes as Latin-1 (PEP 3333); they are decoded as UTF-8."""
    return path.decode("utf-8", "replace")


def _send(answer: Response, environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", answer.all_headers())
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [answer.content]
