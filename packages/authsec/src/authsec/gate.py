"""The decision on one request to an API, and the response that refuses it. `asgi`, `wsgi` and `django` carry both.

Status and challenge follow RFC 6750 §3; the challenge names the metadata of RFC 9728 §5.1 where there are any. The JSON
body is for a person, a program and a model to act on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, TypedDict, Unpack

from authsec.errors import AgentRequired, ConfigError, InsufficientScope, VerificationError
from authsec.resource_metadata import ResourceMetadata
from authsec.verifier import VerifiedToken, Verifier
from authsec.verifier.issuer import named_issuers

IDENTITY: Final = "authsec.identity"
"""Where a request keeps its agent: in the ASGI scope, in the WSGI environ."""

_LATER_BEARER: Final = re.compile(r",\s*bearer\s", re.IGNORECASE)  # servers join two headers of one name with a comma

ANSWERED: Final = (InsufficientScope, AgentRequired)
"""The errors of an endpoint about its request's token, to which a middleware responds."""
_UNQUOTABLE: Final = r"[^\x20-\x21\x23-\x5b\x5d-\x7e]"


class PassThrough(Enum):
    """Requests that pass without a token of ours."""

    PUBLIC = "to a path that is public"
    FOREIGN = "to the API's own authentication"


class GateSettings(TypedDict, total=False):
    """The settings of all middlewares.

    `public_paths` are let through unverified: whole paths, compared exactly. `realm` names the protected space in
    challenges, by default the verifier's audience.

    `other_issuers="pass"` leaves requests without a token, and tokens of other issuers, to the API's own
    authentication, which must be there: such a request has no agent, and nobody has verified it. A token that names
    the verifier's issuer (or one of them) is verified all the same and refused if anything is wrong with it.

    `publish_metadata` serves the protected resource metadata (RFC 9728), publicly, and names them in challenges, if the
    audience is an address; `actions` are listed in them. Switch it off if a proxy hides the well-known address.
    """

    public_paths: Collection[str]
    realm: str | None
    other_issuers: Literal["refuse", "pass"]
    publish_metadata: bool
    actions: Sequence[str]


class Gate:
    """Takes the path and the Authorization headers of a request; returns its agent, or the response that refuses it.

    Tokens are taken from the header only, never from the query (RFC 9700 §4.3.2: URLs are logged).
    """

    def __init__(self, *, verifier: Verifier, **settings: Unpack[GateSettings]) -> None:
        public_paths, others = settings.get("public_paths", ()), settings.get("other_issuers", "refuse")
        if isinstance(public_paths, str):  # a collection of its characters, among them the path "/"
            raise ConfigError("public_paths must be a list of paths, like ['/healthz']", reason="public_paths_invalid")
        if others not in {"refuse", "pass"}:
            raise ConfigError('other_issuers must be "refuse" or "pass"', reason="other_issuers_invalid")
        realm = settings.get("realm")
        self._verifier = verifier
        self._public_paths = frozenset(public_paths)
        self._pass_others = others == "pass"
        self._metadata = (
            ResourceMetadata.of(verifier.issuers, verifier.audience, settings.get("actions", ()))
            if settings.get("publish_metadata", True)
            else None
        )
        self.space = ProtectedSpace(
            realm=verifier.audience if realm is None else realm,
            metadata_url=None if self._metadata is None else self._metadata.url,
        )

    def enter(self, path: str, authorizations: Sequence[str]) -> VerifiedToken | PassThrough | Response:
        """The decision; may wait for a fetch of keys."""
        try:
            found = self._token(path, authorizations)
            return self._verifier.verify(found) if isinstance(found, str) else found
        except VerificationError as error:
            return self.refuse(error)

    async def aenter(self, path: str, authorizations: Sequence[str]) -> VerifiedToken | PassThrough | Response:
        """The same for coroutines."""
        try:
            found = self._token(path, authorizations)
            return await self._verifier.averify(found) if isinstance(found, str) else found
        except VerificationError as error:
            return self.refuse(error)

    def refuse(self, error: VerificationError) -> Response:
        """The response to an error of an endpoint or of the verifier."""
        return response_to(error, self.space)

    def keep(self, request: MutableMapping[str, Any], entered: VerifiedToken | PassThrough) -> None:
        """Record the agent in a scope or environ.

        An agent that an outer gate of the same API verified stays recorded where this one passes the request on: to
        each of the two the other's tokens are foreign.
        """
        if entered is PassThrough.PUBLIC or (
            entered is PassThrough.FOREIGN and self._is_verified(request.get(IDENTITY))
        ):
            return
        request[IDENTITY] = entered

    def _is_verified(self, earlier: object) -> bool:
        return isinstance(earlier, VerifiedToken) and self._verifier.audience in earlier.audience

    def _token(self, path: str, authorizations: Sequence[str]) -> str | PassThrough | Response:
        """The token that decides, or what is decided without one."""
        if path in self._public_paths:
            return PassThrough.PUBLIC
        if self._metadata is not None and path == self._metadata.path:
            return Response(status=200, body=self._metadata.document)
        token = bearer_token(authorizations)
        if self._pass_others and (token is None or named_issuers(token).isdisjoint(self._verifier.issuers)):
            return PassThrough.FOREIGN
        if token is None:
            raise AgentRequired
        return token


def bearer_token(authorizations: Sequence[str]) -> str | None:
    """The token (RFC 6750 §2.1), None if the request brings no bearer credentials; raises `InvalidRequest`."""
    if len(authorizations) > 1:  # whoever is behind us might read the other one
        raise InvalidRequest("The request has several Authorization headers.")
    value = authorizations[0] if authorizations else ""
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer":
        if _LATER_BEARER.search(value):
            raise InvalidRequest("The request has several Authorization headers.")
        return None
    token = token.strip(" ")
    if not token:  # a shell's $(authsec token …) that printed nothing
        raise InvalidRequest(
            "The bearer token is empty.",
            cause="The command that should print the token has probably failed: look at its error output.",
        )
    if " " in token or "," in token:
        raise InvalidRequest("The Authorization header does not hold exactly one bearer token.")
    return token


def agent_in(request: Mapping[str, Any]) -> VerifiedToken | None:
    """The agent that `keep` noted, None for a request that was left to the API's own authentication."""
    entered = request.get(IDENTITY)
    if isinstance(entered, VerifiedToken):
        return entered
    if entered is PassThrough.FOREIGN:
        return None
    raise LookupError("no verified token on this request: its path is public, or BearerAuth is not in front of it")


def identity_in(request: Mapping[str, Any]) -> VerifiedToken:
    """The agent that `keep` noted; else `AgentRequired`, which the middleware answers with 401."""
    agent = agent_in(request)
    if agent is None:
        raise AgentRequired
    return agent


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectedSpace:
    """The protection space and its metadata, as challenges name them."""

    realm: str | None = None
    metadata_url: str | None = None


NOWHERE: Final = ProtectedSpace()


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One whole response; `headers` are those that only this kind of response has."""

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


def response_to(error: VerificationError, space: ProtectedSpace = NOWHERE) -> Response:
    """The response to a failed verification: 401, 403, 400 or 503."""
    body = {"error": str(error), "reason": error.reason, "details": error.details, "retryable": error.retryable}
    if error.status >= 500:  # why nothing can be verified is for our log, not for strangers
        body["error"] = "Tokens cannot be verified at the moment."
        wait = max(1, int(error.retry_after or 0))
        headers = (("retry-after", str(wait)),) if error.retryable else ()
        return Response(status=error.status, headers=headers, body=body)
    if isinstance(error, InsufficientScope):
        body |= _what_would_do(error)
    return Response(status=error.status, headers=(_challenge(space, _parameters(error)),), body=body)


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
    """Next steps for the agent, or its person. `allowed_scope` is the part of the call that would pass."""
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
