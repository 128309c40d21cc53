"""A FastAPI API that takes tokens that are bound to a key, on a real server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import uvicorn
from authsec import TokenVerifier, VerifiedToken
from authsec.asgi import BearerAuth
from authsec.fastapi import agent
from fastapi import Depends, FastAPI

AUDIENCE = "https://crm.example.com"


@contextmanager
def crm(issuer: str, port: int, **settings: Any) -> Iterator[str]:
    """The API, on a real server at this port."""
    url = f"http://127.0.0.1:{port}"
    verifier = TokenVerifier(issuer, AUDIENCE, dpop_origin=url, **settings)
    app = FastAPI()
    app.add_middleware(BearerAuth, verifier=verifier)

    @app.get("/customers/{customer}")
    def show(customer: str, identity: Annotated[VerifiedToken, Depends(agent("customers:read"))]) -> dict[str, Any]:
        return {"id": customer, "key": identity.key_thumbprint}

    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join()
        verifier.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
