"""The console's static files. Browsers can cache each file for a year.

The path of each file contains a hash of all files. So every path changes when a file changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from authsec_server.console import guard
from authsec_server.console.addresses import STATIC

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class Assets:
    """The files of the folder `static/`, loaded once when the server starts."""

    def __init__(self) -> None:
        folder = files("authsec_server.console") / "static"
        self._contents: Mapping[str, bytes] = {
            file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in _TYPES
        }
        # One digest for all: modules import each other by relative name, and must come from the same moment.
        self._version = sha256(b"".join(self._contents[name] for name in sorted(self._contents))).hexdigest()[:16]

    def url(self, name: str) -> str:
        """Return the path of the file. Raises `KeyError` if there is no such file."""
        self._contents[name]
        return f"{STATIC}{self._version}/{name}"

    def route(self) -> Route:
        """Return the route that serves the files."""

        async def asset(request: Request) -> Response:
            name = request.path_params["name"]
            if name not in self._contents:
                raise HTTPException(404)
            kept = request.path_params["version"] == self._version
            caching = {"Cache-Control": "public, max-age=31536000, immutable"} if kept else {}
            return Response(
                self._contents[name],
                headers={**guard.HEADERS, **caching},
                media_type=_TYPES[name.rpartition(".")[2]],
            )

        return Route(STATIC + "{version}/{name}", asset, methods=["GET"])
