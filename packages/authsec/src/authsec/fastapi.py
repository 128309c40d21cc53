"""FastAPI: a dependency that requires an agent, also in the API's OpenAPI document.

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
    """The entry in the OpenAPI document. It only describes: the middleware has verified the token before."""

    def __init__(self) -> None:
        description = "A delegation token of the AuthSec authority, for this API."
        self.model = HTTPBearer(bearerFormat="JWT", description=description)
        self.scheme_name = "AuthSec"

    def __call__(self) -> None:
        """Nothing to do, for WebSockets neither, at which FastAPI's own schemes fail."""


def agent(*actions: str, any_of: bool = False) -> Callable[[HTTPConnection], VerifiedToken]:
    """A dependency that gives the agent, if its token carries all of `actions`, or with `any_of` one of them.

    `BearerAuth` of `authsec.asgi` must be in front: without it the endpoint fails for everybody.
    """
    check_actions(actions)

    described = Security(DelegationTokenScheme(), scopes=actions)

    def allowed(request: HTTPConnection, _: object = described) -> VerifiedToken:
        identity = identity_of(request)
        (identity.require_any if any_of else identity.require)(*actions)
        return identity

    return allowed
