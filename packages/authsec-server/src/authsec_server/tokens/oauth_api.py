"""`POST /oauth/token` (RFC 6749 section 3.2). The endpoint supports no grant.

The error of the endpoint says where to request tokens.

The endpoint must exist nevertheless. If the metadata (RFC 8414) names no token endpoint, a client may send
its secret to `/token` at the API.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from authsec_server.failures import Invalid
from authsec_server.tokens.request import PATH as DELEGATION_TOKEN_PATH
from authsec_server.web.bodies import Places, read_fields
from authsec_server.web.oauth import TOKEN_PATH, oauth, oauth_error
from authsec_server.web.operations import resource
from authsec_server.web.request_context import context_of, limit_key
from authsec_server.web.throttle import Throttle

AT_ONCE, OF_ONE_NETWORK = 64, 8  # forms of strangers that are read at once: each may dawdle


def routes(*, issuer: str, address_limit: int, monotonic: Callable[[], float]) -> list[Route]:
    """Return the token endpoint, with a rate limit for each address.

    The endpoint reads no credential and needs no database.
    """
    throttle = Throttle(address_limit, "Too many token requests came from this address.", monotonic=monotonic)
    places = Places(at_once=AT_ONCE, of_one=OF_ONE_NETWORK)

    async def token(request: Request) -> Response:
        network = limit_key(context_of(request.scope).address)
        throttle.charge(network)
        with places.one(network):
            _require_grant_type(await read_fields(request))
        return oauth_error(
            request,
            "unsupported_grant_type",
            error="This token endpoint supports no grant types.",
            details=f"To get a delegation token: GET {issuer}{DELEGATION_TOKEN_PATH}, as AuthSecClient does.",
        )

    return [resource(TOKEN_PATH, post=oauth(token))]


def _require_grant_type(fields: Sequence[tuple[str, str]]) -> None:
    """Raise `Invalid` if the request does not have exactly one `grant_type`.

    An empty parameter is treated as missing (RFC 6749 section 3.2).
    """
    given = [value for name, value in fields if name == "grant_type" and value]
    if not given:
        raise Invalid("grant_type", "The parameter grant_type is missing.", "Send grant_type=... in the form.")
    if len(given) > 1:
        raise Invalid("grant_type", f"grant_type is given {len(given)} times.", "Give it once.")
