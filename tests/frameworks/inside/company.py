"""The API that the tools call: behind a real verifier, on a real socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from authsec import TokenVerifier
from authsec.verifier import VerifiedToken
from authsec.wsgi import BearerAuth, identity_of

AUDIENCE = "https://crm.example.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crm:
    """`/customers/42` is Ada; `/broken` answers 500. `agents` and `tokens` are what came, in order."""

    url: str
    agents: list[VerifiedToken] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """A test's output is the test's."""


@contextmanager
def crm(verifier: TokenVerifier) -> Iterator[Crm]:
    """Runs until the end of the block."""

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        identity = identity_of(environ)
        identity.require("customers:read")
        company.agents.append(identity)
        company.tokens.append(environ["HTTP_AUTHORIZATION"].partition(" ")[2])
        *_, last = environ["PATH_INFO"].split("/")
        start_response("500 Broken" if last == "broken" else "200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"id": last, "name": "Ada Lovelace"}).encode()]

    guarded = BearerAuth(application, verifier=verifier)
    server = make_server("127.0.0.1", 0, guarded, server_class=_Server, handler_class=_Quiet)
    company = Crm(url=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield company
    server.shutdown()
    thread.join()
    server.server_close()
