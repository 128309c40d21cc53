"""A Starlette API that one line protects.

export AUTHSEC_ISSUER="http://127.0.0.1:7468"
uvicorn --app-dir examples protect_starlette:app
"""

import os

from authsec import TokenVerifier
from authsec.asgi import BearerAuth, identity_of
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


def show(request: Request) -> JSONResponse:
    identity_of(request).require("customers:read")
    return JSONResponse({"id": request.path_params["id"]})


def delete(request: Request) -> JSONResponse:
    identity_of(request).require("customers:delete")
    return JSONResponse({})


app = Starlette(routes=[Route("/customers/{id}", show), Route("/customers/{id}", delete, methods=["DELETE"])])
app.add_middleware(BearerAuth, verifier=TokenVerifier(os.environ["AUTHSEC_ISSUER"], "https://crm.example.com"))
