"""The decision at an API's door, whichever server stands before it: who comes in, and as whom.

`authsec.asgi`, `authsec.wsgi` and `authsec.django` carry requests here and answers back.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from enum import Enum
from typing import Any, Final, Literal, TypedDict, Unpack

from authsec.answers import Answer, InvalidRequest, ProtectedSpace, answer_to
from authsec.errors import AgentRequired, ConfigError, VerificationError
from authsec.resource_metadata import ResourceMetadata
from authsec.verifier import VerifiedToken, Verifier
from authsec.verifier.named_issuers import named_issuers

IDENTITY: Final = "authsec.identity"
"""Where a request keeps its agent: in the ASGI scope, in the WSGI environ."""

_LATER_BEARER: Final = re.compile(r",\s*bearer\s", re.IGNORECASE)  # servers join two headers of one name with a comma


class Let(Enum):
    """Who is let in without a token of ours."""

    PUBLIC = "to a path that is public"
    FOREIGN = "to the API's own authentication"


class GateSettings(TypedDict, total=False):
    """What all the middlewares can be told.

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
    """Takes the path and the Authorization headers of a request; gives its agent, or the answer that refuses it.

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

    def enter(self, path: str, authorizations: Sequence[str]) -> VerifiedToken | Let | Answer:
        """The decision; may wait for a fetch of keys."""
        try:
            found = self._token(path, authorizations)
            return self._verifier.verify(found) if isinstance(found, str) else found
        except VerificationError as error:
            return self.refuse(error)

    async def aenter(self, path: str, authorizations: Sequence[str]) -> VerifiedToken | Let | Answer:
        """The same for coroutines."""
        try:
            found = self._token(path, authorizations)
            return await self._verifier.averify(found) if isinstance(found, str) else found
        except VerificationError as error:
            return self.refuse(error)

    def refuse(self, error: VerificationError) -> Answer:
        """The answer to what an endpoint, or the verifier, has raised."""
        return answer_to(error, self.space)

    def keep(self, request: MutableMapping[str, Any], entered: VerifiedToken | Let) -> None:
        """Note in a scope or environ who was let in.

        Whom a gate of the same API that stands before this one has verified stays noted where this one passes the
        request on: to each of the two the other's tokens are foreign.
        """
        if entered is Let.PUBLIC or (entered is Let.FOREIGN and self._is_verified(request.get(IDENTITY))):
            return
        request[IDENTITY] = entered

    def _is_verified(self, earlier: object) -> bool:
        return isinstance(earlier, VerifiedToken) and self._verifier.audience in earlier.audience

    def _token(self, path: str, authorizations: Sequence[str]) -> str | Let | Answer:
        """The token that decides, or what is decided without one."""
        if path in self._public_paths:
            return Let.PUBLIC
        if self._metadata is not None and path == self._metadata.path:
            return Answer(status=200, body=self._metadata.document)
        token = bearer_token(authorizations)
        if self._pass_others and (token is None or named_issuers(token).isdisjoint(self._verifier.issuers)):
            return Let.FOREIGN
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
    if entered is Let.FOREIGN:
        return None
    raise LookupError("no verified token on this request: its path is public, or BearerAuth is not in front of it")


def identity_in(request: Mapping[str, Any]) -> VerifiedToken:
    """The agent that `keep` noted; else `AgentRequired`, which the middleware answers with 401."""
    agent = agent_in(request)
    if agent is None:
        raise AgentRequired
    return agent
