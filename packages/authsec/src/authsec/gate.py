"""The decision on one request to an API, and the response that refuses the request.

The modules `asgi`, `wsgi` and `django` use this module.

Status and challenge follow RFC 6750 §3. If the API publishes metadata, the challenge contains the metadata's
URL (RFC 9728 §5.1). The JSON body tells a person, a program and a model what to do next.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, NoReturn, TypedDict, Unpack

from authsec.errors import AgentRequired, ConfigError, InsufficientScope, InvalidProof, VerificationError
from authsec.resource_metadata import metadata_of, proof_algorithms
from authsec.verifier import VerifiedToken, Verifier
from authsec.verifier.issuer import named_issuers

if TYPE_CHECKING:
    from authsec.verifier import DpopRequest

IDENTITY: Final = "authsec.identity"
"""The name of the verified agent's entry in the ASGI scope or the WSGI environ."""

# Servers join two headers of one name with a comma.
_LATER_BEARER: Final = re.compile(r",\s*bearer\s", re.IGNORECASE)
_LATER_TOKEN: Final = re.compile(r",\s*(bearer|dpop)\s", re.IGNORECASE)

ANSWERED: Final = (InsufficientScope, AgentRequired)
"""The errors about a request's token that an endpoint may raise. A middleware turns each error into a response."""
_SEND_PROOF: Final = "Send Authorization: DPoP <delegation token>, and a proof in the header DPoP (RFC 9449)."
_FOR_BOUND_TOKENS: Final = "If the token is bound to a key:"
_UNQUOTABLE: Final = r"[^\x20-\x21\x23-\x5b\x5d-\x7e]"


def _no_request() -> NoReturn:
    raise TypeError("a token by the scheme DPoP needs the request: pass dpop=")


class PassThrough(Enum):
    """The reasons why a request passes without a verified token."""

    PUBLIC = "to a path that is public"
    FOREIGN = "to the API's own authentication"


class GateSettings(TypedDict, total=False):
    """The settings of all middlewares.

    `public_paths` are whole paths, with or without the ASGI `root_path`. A request to exactly such a path passes
    without verification. `realm` is the
    name of the protection space in challenges. The default is the verifier's audience.

    `other_issuers="pass"` passes requests without a token, and tokens of other issuers, to the API's own
    authentication. The API must have its own authentication, because such a request has no verified agent. A
    token that names one of the verifier's issuers is still verified, and refused if it is invalid.

    `publish_metadata` needs an audience that is a URL. The gate then serves the protected resource metadata (RFC
    9728) publicly, and challenges contain the metadata's URL. The metadata lists `actions`. Set
    `publish_metadata` to False if a proxy hides the well-known URL.

    `scope` are the actions that a 401 names in its challenge. OAuth and MCP clients request a token with these
    actions. Without `scope` and `actions`, most clients request all that is delegated to the agent.
    """

    public_paths: Collection[str]
    realm: str | None
    other_issuers: Literal["refuse", "pass"]
    publish_metadata: bool
    actions: Sequence[str]
    scope: Sequence[str]


class Gate:
    """Takes a request's path and Authorization headers; returns the agent, or the response that refuses the request.

    Tokens are read from the header only and never from the query, because URLs are logged (RFC 9700 §4.3.2).
    """

    def __init__(self, *, verifier: Verifier, **settings: Unpack[GateSettings]) -> None:
        public_paths, others = settings.get("public_paths", ()), settings.get("other_issuers", "refuse")
        if isinstance(public_paths, str):
            # A text would be read as a list of characters, and "/" would be a public path.
            raise ConfigError("public_paths must be a list of paths, like ['/healthz']", reason="public_paths_invalid")
        if others not in {"refuse", "pass"}:
            raise ConfigError('other_issuers must be "refuse" or "pass"', reason="other_issuers_invalid")
        scope = settings.get("scope", ())
        if isinstance(scope, str):
            raise ConfigError("scope must be a list of actions, like ['customers:read']", reason="scope_invalid")
        realm = settings.get("realm")
        self._verifier = verifier
        self._public_paths = frozenset(public_paths)
        self._pass_others = others == "pass"
        publishes = settings.get("publish_metadata", True)
        self._metadata = metadata_of(verifier, settings.get("actions", ())) if publishes else None
        self.space = ProtectedSpace(
            realm=verifier.audience if realm is None else realm,
            metadata_url=None if self._metadata is None else self._metadata.url,
            scope=" ".join(scope) or None,
            proof_algorithms=proof_algorithms(verifier),
            requires_dpop=verifier.requires_dpop,
        )

    @property
    def metadata_path(self) -> str | None:
        """The path at which the gate serves the metadata; None if it publishes none."""
        return None if self._metadata is None else self._metadata.path

    def enter(
        self,
        path: str,
        authorizations: Sequence[str],
        dpop: Callable[[], DpopRequest] = _no_request,
        *,
        path_info: str = "",
    ) -> VerifiedToken | PassThrough | Response:
        """Verify the request's token, and return the agent, a reason to pass, or a response.

        `dpop` describes the request, and is called only for a token by the scheme DPoP. `path_info` is
        the path without the prefix of WSGI (`SCRIPT_NAME`). May wait for the key set.
        """
        if self._metadata is not None and path_info == self._metadata.path:
            return Response(status=200, body=self._metadata.document)
        try:
            found = self._token(path, authorizations)
            if isinstance(found, str):
                return self._verifier.verify(found)
            if not isinstance(found, DpopToken):
                return found
            with self._challenged_by_scheme():
                return self._verifier.verify(found.value, self._described(dpop))
        except VerificationError as error:
            return self.refuse(error)

    async def aenter(
        self,
        path: str,
        authorizations: Sequence[str],
        dpop: Callable[[], DpopRequest] = _no_request,
        *,
        prefix: str = "",
    ) -> VerifiedToken | PassThrough | Response:
        """Decide as `enter` does, for coroutines. `path` may begin with `prefix`, which no caller may choose."""
        try:
            found = self._token(path, authorizations, prefix)
            if isinstance(found, str):
                return await self._verifier.averify(found)
            if not isinstance(found, DpopToken):
                return found
            with self._challenged_by_scheme():
                return await self._verifier.averify(found.value, self._described(dpop))
        except VerificationError as error:
            return self.refuse(error)

    def _described(self, dpop: Callable[[], DpopRequest]) -> DpopRequest:
        """Describe the request. A verifier that accepts no bound tokens refuses any request, so it gets an empty one.

        Then no proxy needs to describe the request, and a caller cannot provoke an error about the proxy.
        """
        if self._verifier.accepts_dpop:
            return dpop()
        from authsec.verifier import DpopRequest  # only for a token by the scheme DPoP

        return DpopRequest(method="", path="", proofs=())

    @contextmanager
    def _challenged_by_scheme(self) -> Iterator[None]:
        """Refuse a token by the scheme DPoP with a challenge of this scheme, if the API accepts it (RFC 9449 §7.1)."""
        try:
            yield
        except VerificationError as error:
            error.scheme = "DPoP" if self._verifier.accepts_dpop else "Bearer"
            raise

    def refuse(self, error: VerificationError) -> Response:
        """Return the response for an error that an endpoint or the verifier raised."""
        return response_to(error, self.space)

    def keep(self, request: MutableMapping[str, Any], entered: VerifiedToken | PassThrough) -> None:
        """Record the gate's decision in an ASGI scope or a WSGI environ.

        The decision is the verified agent, or that the request passes to the API's own authentication. For a public
        path, nothing is recorded. An API may have two gates, one inside the other, with different issuers. Each gate
        passes on the tokens of the other gate. If the outer gate has verified an agent for this API, the inner gate
        keeps this agent.
        """
        if entered is PassThrough.PUBLIC or (
            entered is PassThrough.FOREIGN and self._is_verified(request.get(IDENTITY))
        ):
            return
        request[IDENTITY] = entered

    def _is_verified(self, earlier: object) -> bool:
        return isinstance(earlier, VerifiedToken) and self._verifier.audience in earlier.audience

    def _token(
        self, path: str, authorizations: Sequence[str], prefix: str = ""
    ) -> str | DpopToken | PassThrough | Response:
        """Return the token to verify, or the decision for a request that needs no verification.

        Raises `AgentRequired` if a token is required and missing.
        """
        inner = path.removeprefix(prefix) if path.startswith(f"{prefix}/") else path
        # An entry with the prefix is a whole path. Without the prefix, the same text is another path of the API.
        if path in self._public_paths or (inner in self._public_paths and not inner.startswith(f"{prefix}/")):
            return PassThrough.PUBLIC
        if self._metadata is not None and self._metadata.path in {path, inner}:
            return Response(status=200, body=self._metadata.document)
        token = token_in(authorizations, self._verifier.accepts_dpop)
        if self._pass_others and (token is None or named_issuers(_text(token)).isdisjoint(self._verifier.issuers)):
            return PassThrough.FOREIGN
        if token is None:
            raise AgentRequired
        return token


class DpopToken(NamedTuple):
    """A token that was sent by the scheme DPoP (RFC 9449 §7.1)."""

    value: str


def token_in(authorizations: Sequence[str], accepts_dpop: bool) -> str | DpopToken | None:
    """Return the bearer token (RFC 6750 §2.1), or None if the request has no bearer token.

    A token by the scheme DPoP is a token as well. `accepts_dpop` says whether the API accepts such tokens.

    Raises `InvalidRequest` for an empty token, and for several headers or tokens.
    """
    if len(authorizations) > 1:  # The API behind the gate could read the other header.
        raise InvalidRequest("The request has several Authorization headers.")
    value = authorizations[0] if authorizations else ""
    scheme, _, token = value.partition(" ")
    by_dpop = scheme.lower() == "dpop"
    if scheme.lower() != "bearer" and not by_dpop:
        if (_LATER_TOKEN if accepts_dpop else _LATER_BEARER).search(value):
            raise InvalidRequest("The request has several Authorization headers.")
        return None
    token = token.strip(" ")
    if not token:  # Probably `$(authsec token …)` printed nothing.
        raise InvalidRequest(
            "The bearer token is empty.",
            cause="The command that prints the token has probably failed: read its error output.",
        )
    if " " in token or "," in token:
        raise InvalidRequest("The Authorization header must have exactly one bearer token.")
    return DpopToken(token) if by_dpop else token


def _text(token: str | DpopToken) -> str:
    return token.value if isinstance(token, DpopToken) else token


def agent_in(request: Mapping[str, Any]) -> VerifiedToken | None:
    """Return the agent recorded by `keep`, or None if the request was passed to the API's own authentication.

    Raises `LookupError` if nothing was recorded: the path is public, or no `BearerAuth` is installed.
    """
    entered = request.get(IDENTITY)
    if isinstance(entered, VerifiedToken):
        return entered
    if entered is PassThrough.FOREIGN:
        return None
    raise LookupError("this request has no verified token: its path is public, or BearerAuth is not installed")


def identity_in(request: Mapping[str, Any]) -> VerifiedToken:
    """Return the agent recorded by `keep`.

    Raises `AgentRequired` if the request was passed to the API's own authentication; the middleware then answers
    401. Raises `LookupError` as `agent_in` does.
    """
    agent = agent_in(request)
    if agent is None:
        raise AgentRequired
    return agent


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectedSpace:
    """The protection space (`realm`), the URL of its metadata and the `scope` of a 401, for challenges.

    If the API accepts bound tokens, `proof_algorithms` are the signature algorithms of their proofs.
    """

    realm: str | None = None
    metadata_url: str | None = None
    scope: str | None = None
    proof_algorithms: Sequence[str] = ()
    requires_dpop: bool = False


NOWHERE: Final = ProtectedSpace()


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One complete response. `headers` are the additional headers; all responses share the other headers."""

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
    """The request's token is empty, or its Authorization headers are ambiguous (400).

    `cause` explains a probable mistake of the caller.
    """

    def __init__(self, message: str, *, cause: str = "") -> None:
        wanted = "Send one header: Authorization: Bearer <delegation token>."
        details = f"{cause} {wanted}" if cause else wanted
        super().__init__(message, reason="invalid_request", status=400, details=details)


def response_to(error: VerificationError, space: ProtectedSpace = NOWHERE) -> Response:
    """Build the response to a failed verification: 401, 403, 400 or 503."""
    body = {"error": str(error), "reason": error.reason, "details": error.details, "retryable": error.retryable}
    if error.status >= 500:  # The caller may be a stranger, so only the log has the cause.
        body["error"] = "Tokens cannot be verified right now."
        wait = max(1, int(error.retry_after or 0))
        headers = (("retry-after", str(wait)),) if error.retryable else ()
        return Response(status=error.status, headers=headers, body=body)
    if isinstance(error, InsufficientScope):
        body |= _what_would_do(error)
    if isinstance(error, AgentRequired) and space.proof_algorithms:
        body["details"] = _SEND_PROOF if space.requires_dpop else f"{error.details} {_FOR_BOUND_TOKENS} {_SEND_PROOF}"
    return Response(status=error.status, headers=(_challenge(space, error),), body=body)


def _parameters(error: VerificationError) -> Mapping[str, str]:
    if isinstance(error, AgentRequired):
        # For a request without credentials, the challenge names no error (RFC 6750 §3.1).
        return {}
    described = {"error": "invalid_token", "error_description": str(error)}
    if isinstance(error, InsufficientScope):
        sufficient = error.required[:1] if error.any_of else error.required
        where = {"error_uri": error.grant_at} if error.grant_at else {}
        return described | {"error": "insufficient_scope", "scope": " ".join(sufficient)} | where
    if isinstance(error, InvalidRequest):
        return described | {"error": "invalid_request"}
    if isinstance(error, InvalidProof):
        described["error"] = "invalid_dpop_proof"
    # RFC 6750 §3 allows further parameters. The SDK reads `reason`.
    return described | {"reason": error.reason}


def _what_would_do(error: InsufficientScope) -> Mapping[str, Any]:
    """Return the next steps for the agent or its user. `allowed_scope` are the required actions that the token has."""
    return {
        "missing_actions": error.missing,
        "granted_actions": error.granted,
        "allowed_scope": " ".join(error.allowed),
        "grantable": True,
        "grant_at": error.grant_at,
        "for_model": error.for_model,
    }


def _challenge(space: ProtectedSpace, error: VerificationError) -> tuple[str, str]:
    """Build the challenge: by the scheme of the token that was sent, or by all schemes if none was sent."""
    asked = {"scope": space.scope} if error.status == 401 else {}
    around = {"realm": space.realm, "resource_metadata": space.metadata_url, **_parameters(error), **asked}
    algorithms = " ".join(space.proof_algorithms) or None
    if error.scheme == "DPoP" or space.requires_dpop:
        return "www-authenticate", _written("DPoP", {**around, "algs": algorithms})
    challenge = _written("Bearer", around)
    if isinstance(error, AgentRequired) and algorithms is not None:  # RFC 9449 §7.2: both schemes are accepted
        challenge += f", {_written('DPoP', {'algs': algorithms})}"
    return "www-authenticate", challenge


def _written(scheme: str, parameters: Mapping[str, str | None]) -> str:
    # RFC 6750 §3 allows these characters; the others could end the quoted string or the header.
    quoted = [f'{name}="{re.sub(_UNQUOTABLE, "?", value)}"' for name, value in parameters.items() if value is not None]
    return f"{scheme} {', '.join(quoted)}".rstrip()
