"""What an endpoint of FastAPI needs of an agent, also in the API's OpenAPI document.

app.add_middleware(BearerAuth, verifier=…)  # authsec.asgi

@app.get("/customers/{id}")
def show(id: int, identity: Annotated[VerifiedToken, Depends(agent("customers:read"))]): ...
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastapi import Request, Security
from fastapi.security import HTTPBearer

from authsec.asgi import agent_of, identity_of
from authsec.verifier import VerifiedToken
from authsec.verifier.token import check_actions

__all__ = ["agent", "agent_of", "identity_of"]

# It only describes: the middleware has verified the token before.
_SCHEME: Final = HTTPBearer(
    auto_error=False,
    scheme_name="AuthSec",
    bearerFormat="JWT",
    description="A delegation token of the AuthSec authority, for this API.",
)


def agent(*actions: str, any_of: bool = False) -> Callable[[Request], VerifiedToken]:
    """A dependency that gives the agent, if its token carries all of `actions`, or with `any_of` one of them.

    `BearerAuth` of `authsec.asgi` must be in front: without it the endpoint fails for everybody.
    """
    check_actions(actions)

    described = Security(_SCHEME, scopes=actions)

    def allowed(request: Request, _: object = described) -> VerifiedToken:
        identity = identity_of(request)
        (identity.require_any if any_of else identity.require)(*actions)
        return identity

    return allowed
