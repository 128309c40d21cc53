"""A FastAPI dependency that requires an agent, and that adds the security scheme to the API's OpenAPI document.

app.add_middleware(BearerAuth, verifier=…)  # authsec.asgi

@app.get("/customers/{id}")
def show(id: int, identity: Annotated[VerifiedToken, Depends(agent("customers:read"))]): ...
"""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Security
from fastapi.openapi.models import HTTPBearer
from fastapi.requests import HTTPConnection
from fastapi.security.base import SecurityBase

from authsec.asgi import agent_of, identity_of
from authsec.verifier import VerifiedToken
from authsec.verifier.token import check_actions

__all__ = ["agent", "agent_of", "identity_of"]


class DelegationTokenScheme(SecurityBase):
    """The security scheme in the OpenAPI document.

    The scheme verifies nothing: the middleware has already verified the token.
    """

    def __init__(self) -> None:
        description = "A delegation token of the AuthSec authority, for this API."
        self.model = HTTPBearer(bearerFormat="JWT", description=description)
        self.scheme_name = "AuthSec"

    def __call__(self) -> None:
        """Do nothing, for requests and for WebSockets. FastAPI's own schemes fail for WebSockets."""


def agent(*actions: str, any_of: bool = False) -> Callable[[HTTPConnection], VerifiedToken]:
    """Build a dependency that returns the agent if its token has all of `actions` or, with `any_of`, one of them.

    The application needs the middleware `BearerAuth` of `authsec.asgi`. Without this middleware, the endpoint
    fails for every caller.
    """
    check_actions(actions)

    described = Security(DelegationTokenScheme(), scopes=actions)

    def allowed(request: HTTPConnection, _: object = described) -> VerifiedToken:
        identity = identity_of(request)
        (identity.require_any if any_of else identity.require)(*actions)
        return identity

    return allowed
