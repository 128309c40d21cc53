"""An API in a process of its own: `rotation_api.py ISSUER FRESH_FOR`. The first line that it prints is its address."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from authsec import TokenVerifier
from authsec.wsgi import BearerAuth, identity_of


class Server(ThreadingMixIn, WSGIServer):
    """A thread a request, so that a process verifies several tokens at once."""

    daemon_threads = True
    request_queue_size = 128


class Quiet(WSGIRequestHandler):
    """Nothing on stderr for each request."""

    def log_message(self, *_: object) -> None:
        pass


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    identity_of(environ).require("customers:read")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"let in"]


def main(issuer: str, fresh_for: str) -> None:
    verifier = TokenVerifier(issuer, "authsec-api", fresh_for=float(fresh_for), unknown_key_pause=1.0)
    verifier.check_ready()
    app = BearerAuth(application, verifier=verifier)
    with make_server("127.0.0.1", 0, app, server_class=Server, handler_class=Quiet) as server:
        print(f"http://127.0.0.1:{server.server_port}/", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
