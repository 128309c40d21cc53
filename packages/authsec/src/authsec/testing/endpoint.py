"""HTTP on loopback, as far as an agent speaks it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from authsec.testing.denials import HttpAnswer

Answering = Callable[[str, str, Mapping[str, Sequence[str]]], HttpAnswer]
"""Of method, path, and what stands in the query and in the form."""

_MOST_BYTES: Final = 64 * 1024


class Endpoint:
    """Answers on a port of its own, from creation to `close`."""

    def __init__(self, answering: Answering) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(answering))
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, name="authsec-testing", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(answering: Answering) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            form = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), _MOST_BYTES)).decode(
                "ascii", "replace"
            )
            sent = parse_qs(address.query) | parse_qs(form)
            with suppress(OSError):  # the client may have hung up
                self.reply(answering(self.command, address.path, sent))

        do_POST = do_GET  # noqa: N815 - as it is called there

        def reply(self, answer: HttpAnswer) -> None:
            body = json.dumps(answer.body).encode()
            self.send_response(answer.status)
            usual = {"Content-Type": "application/json", "Cache-Control": "no-store", "Content-Length": str(len(body))}
            for name, value in {**usual, **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is called there
            """A test's output is the test's."""

    return Handler
