"""`GET /oauth/authorize` (RFC 6749 section 3.1). Every request is refused: no response type is supported.

The endpoint does not read the query. A redirect URI in the query is not registered, so the endpoint never
redirects to such a URI (section 4.1.2.1).
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from authsec_server.console.errors import FailedPage
from authsec_server.console.forms import Form
from authsec_server.console.site import Console, PublicRequest
from authsec_server.tokens.request import PATH as DELEGATION_TOKEN_PATH
from authsec_server.web.oauth import AUTHORIZATION_PATH, oauth_error
from authsec_server.web.request_context import context_of

_REFUSED = FailedPage(
    status=400,
    message="An app sent you here to sign in with OAuth. This authority does not support that yet.",
    remedy="Nothing was granted. You can close this page.",
)


def route(console: Console) -> Route:
    """Return the route of the endpoint. Browsers get a page, and programs get JSON."""

    async def authorize(request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return _page(console, request)
        return oauth_error(
            request,
            "unsupported_response_type",
            error="This authorization endpoint supports no response type.",
            details=f"To get a delegation token, send GET {console.settings.issuer}{DELEGATION_TOKEN_PATH}, "
            "as AuthSecClient does.",
        )

    return Route(AUTHORIZATION_PATH, authorize, methods=["GET"])


def _page(console: Console, request: Request) -> Response:
    return PublicRequest(console=console, request=request, form=Form()).render(
        "failure.html",
        title="This app can't sign you in here",
        status=_REFUSED.status,
        failed=_REFUSED,
        request_id=context_of(request.scope).request_id,
    )
