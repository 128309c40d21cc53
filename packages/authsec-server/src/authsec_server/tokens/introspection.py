"""Token introspection (RFC 7662): tell an API whether a received token is valid at this moment.

The answer comes from this authority's database. The authority checks the signature, the times and the
revocations of the token and its subjects. The endpoint is `POST /authsec/v1/introspect`.

The audit log does not record introspections, because they change nobody's authority. An API that cannot
follow the revocation feed asks many times a minute, and its requests would hide important events. The audit
log counts refused callers (`apis.authentication`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from authsec.jose import VerifiedJws
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from authsec_server.apis.authentication import ApiCredentials, NotProved
from authsec_server.apis.model import Holder
from authsec_server.db import Database, Tx
from authsec_server.failures import Invalid, Unavailable
from authsec_server.metrics.catalogue import INTROSPECTED
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import Subject, subjects_of_token
from authsec_server.tokens.own_tokens import OwnTokens
from authsec_server.web.errors import TooOften, error_response
from authsec_server.web.oauth import oauth, read_parameters
from authsec_server.web.operations import resource
from authsec_server.web.request_context import context_of

LEEWAY = 30  # seconds by which the server that issued the token may be ahead of this one, as verifiers allow


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspection:
    """Checks tokens of this authority for APIs. A call blocks its thread, and may raise `Unavailable`."""

    database: Database
    own_tokens: OwnTokens
    now: Callable[[], datetime]

    def active(self, token: str, audience: str) -> Mapping[str, Any] | None:
        """Return the claims if the token is valid at the API with this audience. Otherwise return None.

        For a token of another API, the result is also None. An API must learn nothing about such a token (RFC 7662
        section 4).
        """
        jws = self.own_tokens.read(token)
        if jws is None or audience not in _audiences(jws):
            return None
        now = int(self.now().timestamp())
        if not max(jws.claims["nbf"], jws.claims["iat"]) - LEEWAY <= now < jws.claims["exp"]:
            return None
        return None if self.database.read(lambda tx: _ended(tx, jws)) else jws.claims


def _audiences(jws: VerifiedJws) -> list[str]:
    audience = jws.claims["aud"]
    return [audience] if isinstance(audience, str) else audience


def _ended(tx: Tx, jws: VerifiedJws) -> bool:
    """Return whether the token was revoked. One indexed SQL statement checks any number of subjects."""
    return bool(revocations.after(tx, subjects(jws.header["kid"], jws.claims), jws.claims["authority_version"]))


def subjects(kid: str, claims: Mapping[str, Any]) -> frozenset[Subject]:
    """Return the subjects that a token depends on, such as its client, delegations and proof. `kid` names the key."""
    return subjects_of_token(
        client=claims["client_id"],
        delegations=claims["delegation_ids"],
        roles=claims["roles"],
        proof=claims["attestation"].get("proof", ""),
        trusted_issuer=claims["attestation"].get("source", ""),
        kid=kid,
        jti=claims["jti"],
    )


PATH = "/authsec/v1/introspect"
_CHALLENGE = 'Bearer realm="authsec introspection", Basic realm="authsec introspection"'


def routes(credentials: ApiCredentials, introspection: Introspection) -> list[Route]:
    """Return the endpoint. The endpoint accepts only POST, because servers log URLs (RFC 7662 section 2.1)."""

    async def introspect(request: Request) -> Response:
        context, sent = context_of(request.scope), request.headers.getlist("authorization")
        try:
            # Before the body is read: only an authenticated API may use the time of this server.
            api = await run_in_threadpool(credentials.prove, sent, context)
            token = await _token(request)
            claims = await run_in_threadpool(introspection.active, token, api.identifier)
        except NotProved as failure:
            INTROSPECTED.of("refused").add()
            return _unauthenticated(request, failure)
        except TooOften:
            INTROSPECTED.of("refused").add()
            raise
        except (Invalid, HTTPException):
            INTROSPECTED.of("malformed").add()
            raise
        except Unavailable:
            INTROSPECTED.of("unavailable").add()
            raise
        INTROSPECTED.of("inactive" if claims is None else "active").add()
        return _answer(api, claims)

    return [resource(PATH, post=oauth(introspect))]


async def _token(request: Request) -> str:
    """Return the token from the form. Raises `Invalid`.

    The form's `token_type_hint` is ignored, because this authority has only one type of token.
    """
    if "token" in request.query_params:
        raise Invalid(
            "token",
            "The URL of the request contains a token. URLs are often logged.",
            "Send the token in the form.",
        )
    token = (await read_parameters(request)).get("token", "")
    if not token:
        raise Invalid("token", "The parameter token is missing.", "Send the form: token=<the token>.")
    return token


def _answer(api: Holder, claims: Mapping[str, Any] | None) -> JSONResponse:
    """Return the answer of RFC 7662 section 2.2, with a header that names the API of the credential.

    An API may use another API's credential by mistake. The body of the answer then looks like the answer for an
    invalid token. The API can detect the mistake by the header.
    """
    token_type = "DPoP" if claims and "cnf" in claims else "Bearer"  # RFC 9449 section 6.2
    body = {"active": False} if claims is None else {"active": True, "token_type": token_type, **claims}
    return JSONResponse(body, headers={"Cache-Control": "no-store", "AuthSec-Audience": api.identifier})


def _unauthenticated(request: Request, failure: NotProved) -> JSONResponse:
    return error_response(
        request,
        401,
        reason=failure.why,
        error=failure.message,
        details="Send the API's own credential: Authorization: Bearer authsec_api_… "
        "(made with `authsec apis create-credential API`).",
        headers={"WWW-Authenticate": _CHALLENGE},
        extra={"error": "invalid_client", "error_description": failure.message},
    )
