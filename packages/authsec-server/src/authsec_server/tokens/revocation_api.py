"""Endpoints that revoke one token: one for operators, and one for the token's holder (RFC 7009).

No URL contains a token.
"""

from __future__ import annotations

from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from authsec_server.failures import Invalid
from authsec_server.tokens import revocation
from authsec_server.tokens.own_tokens import OwnTokens, read_pasted
from authsec_server.tokens.revocation import RevokedToken, SelfRevocation
from authsec_server.web.bodies import Body, Places
from authsec_server.web.instants import rfc3339
from authsec_server.web.oauth import oauth, read_parameters
from authsec_server.web.operations import API, AnyOperation, Call, declared, operation, resource
from authsec_server.web.request_context import context_of, limit_key

REVOKE = "/authsec/v1/revoke"
PATH = f"{API}/tokens/revoke"
AT_ONCE, OF_ONE_NETWORK = 64, 8  # requests of strangers that are read at once: each may dawdle
_PRIVATE = {"Cache-Control": "no-store"}


class Ending(Body):
    """Request to revoke a token. The request has the token's `jti`, or the token itself.

    The audit log records `reason`.
    """

    jti: str | None = None
    token: str | None = Field(None, repr=False)
    reason: str = ""


class HolderShown(TypedDict):
    """The client that has the token."""

    id: str
    name: str


class EndedShown(TypedDict):
    """A revoked token as the admin API shows it.

    `already` is true if the token was revoked before this request.
    """

    jti: str
    client: HolderShown | None
    expires_at: str | None
    ended_at: str
    already: bool


def routes(self_revocation: SelfRevocation) -> list[Route]:
    """Return the endpoint for holders of a token."""
    places = Places(at_once=AT_ONCE, of_one=OF_ONE_NETWORK)

    async def revoke(request: Request) -> Response:
        context = context_of(request.scope)
        with places.one(limit_key(context.address)):
            # The hint of its type would say nothing new. A file's last line break comes along with what is in it.
            token = (await read_parameters(request)).get("token", "").strip()
        if not token:
            raise Invalid("token", "The parameter token is missing.", "Send the token in the form: token=…")
        about = {"request_id": context.request_id, "address": context.address}
        await run_in_threadpool(lambda: self_revocation.revoke_own(token, **about))
        return Response(status_code=200, headers=_PRIVATE)

    return [resource(REVOKE, post=oauth(revoke))]


def operations(tokens: OwnTokens) -> list[AnyOperation]:
    """Return the operation for operators."""

    @operation("POST", PATH, "revokeToken")
    async def revoke(call: Call[Ending]) -> EndedShown:
        """Revoke one token, by its `jti` or by the token itself."""
        jti = await run_in_threadpool(_jti, call.body, tokens)
        return as_json(await call.change(lambda tx, act: revocation.revoke(tx, act, jti, because=call.body.reason)))

    return declared(revoke)


def as_json(ended: RevokedToken) -> EndedShown:
    """Return the revoked token as the admin API shows it."""
    issued = ended.issued
    return {
        "jti": issued.jti,
        "client": {"id": issued.client.id, "name": issued.client.name} if issued.client else None,
        "expires_at": rfc3339(issued.expires_at),
        "ended_at": rfc3339(ended.at),
        "already": ended.already,
    }


def _jti(asked: Ending, tokens: OwnTokens) -> str:
    """Return the `jti` of the token to revoke. Raises `Invalid`.

    The `jti` of a pasted token is used only if this authority signed the token.
    """
    if (asked.jti is None) == (asked.token is None):
        raise Invalid("jti", "Give the jti of the token, or the token itself.", "Give only one of the two.")
    if asked.jti is not None:
        return asked.jti.strip()
    jws = tokens.read(read_pasted(asked.token or ""))
    if jws is None:
        raise Invalid(
            "token",
            "This token is not from this authority, or it is damaged. Nothing was revoked.",
            "Paste the complete delegation token, or give its jti.",
        )
    return str(jws.claims["jti"])
