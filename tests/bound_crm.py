"""A FastAPI API that takes tokens that are bound to a key, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated, Any

from authsec import TokenVerifier, VerifiedToken
from authsec.asgi import BearerAuth
from authsec.fastapi import agent
from fastapi import Depends, FastAPI

from .app_server import listening, served

AUDIENCE = "https://crm.example.com"


@contextmanager
def crm(issuer: str, **settings: Any) -> Iterator[str]:
    """The API; its URL."""
    with (
        listening() as (listener, url),
        closing(TokenVerifier(issuer, AUDIENCE, dpop_origin=url, **settings)) as verifier,
    ):
        app = FastAPI()
        app.add_middleware(BearerAuth, verifier=verifier)

        @app.get("/customers/{customer}")
        def show(customer: str, identity: Annotated[VerifiedToken, Depends(agent("customers:read"))]) -> dict[str, Any]:
            return {"id": customer, "key": identity.key_thumbprint}

        with served(app, listener):
            yield url
