"""The wheels of the SDK over HTTP. They need no credentials: an agent has none before it has the SDK.

Only the names of the wheels that were read at the start are answered. No part of a request becomes a path of a file.
"""

from __future__ import annotations

from typing import Final

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from authsec_server.sdk_wheels.wheels import PATH, SdkWheels, Wheel
from authsec_server.web.bodies import Places
from authsec_server.web.errors import error_response
from authsec_server.web.operations import resource
from authsec_server.web.request_context import context_of, limit_key

AT_ONCE, OF_ONE_NETWORK = 64, 16  # a client that reads slowly must not take the places of token requests
DOWNLOAD_SECONDS = 120
CHUNK = 64 * 1024
MAX_AGE = 300  # seconds: a wheel that was built again has the same name
_CACHED: Final = {"Cache-Control": f"public, max-age={MAX_AGE}"}


class _Download(Response):
    """A wheel in chunks. So a client that reads slowly costs the memory of one chunk, and is disconnected at the end.

    Raises `ClientDisconnect` when the time is over.
    """

    media_type = "application/zip"

    def __init__(self, wheel: Wheel, places: Places) -> None:
        super().__init__(wheel.content, headers=_CACHED | {"ETag": _etag(wheel)})
        self._places = places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        network = limit_key(context_of(scope).address)
        with self._places.one(network), anyio.move_on_after(DOWNLOAD_SECONDS) as deadline:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for start in range(0, len(self.body), CHUNK):
                chunk = self.body[start : start + CHUNK]
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        if deadline.cancelled_caught:
            raise ClientDisconnect


def routes(sdk: SdkWheels) -> list[Route]:
    """Return the routes of the wheels and of their list."""
    by_file = {wheel.file: wheel for wheel in sdk.wheels.values()}
    places = Places(at_once=AT_ONCE, of_one=OF_ONE_NETWORK)
    index = {
        "wheels": [
            {
                "name": wheel.name,
                "version": wheel.version,
                "file": wheel.file,
                "sha256": wheel.sha256,
                "url": sdk.url(wheel),
            }
            for wheel in sdk.wheels.values()
        ]
    }

    async def listing(request: Request) -> Response:
        return JSONResponse(index, headers=_CACHED) if sdk else _not_built_in(request)

    async def download(request: Request) -> Response:
        if not sdk:
            return _not_built_in(request)
        wheel = by_file.get(request.path_params["file"])
        if wheel is None:
            return error_response(
                request,
                404,
                reason="not_found",
                error="This server has no wheel of that name.",
                details=f"GET {PATH}/ lists the wheels. After an upgrade of the server, their names are new.",
            )
        if _etag(wheel) in request.headers.get("if-none-match", ""):  # RFC 9110 section 13.1.2
            return Response(status_code=304, headers=_CACHED | {"ETag": _etag(wheel)})
        return _Download(wheel, places)

    return [resource(PATH, get=listing), resource(PATH + "/", get=listing), resource(PATH + "/{file}", get=download)]


def _etag(wheel: Wheel) -> str:
    return f'"{wheel.sha256}"'


def _not_built_in(request: Request) -> Response:
    return error_response(
        request,
        404,
        reason="wheels_not_built_in",
        error="This server has no wheels of the SDK, because it runs from a source checkout.",
        details="In the checkout, run `uv build --all-packages`, and install the server from its wheel in `dist/`: "
        "the build puts the wheels of the SDK into it. docs/install.md shows the commands.",
    )
