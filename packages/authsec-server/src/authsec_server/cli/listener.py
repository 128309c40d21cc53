"""The port of `authsec serve`, and the program that has the port already."""

from __future__ import annotations

import errno
import http.client
import json
import socket
from typing import Final

from authsec.config import is_loopback
from authsec.safe_text import plain

from authsec_server.failures import StartupRefused

ANSWERS_WITHIN: Final = 0.5  # seconds, on this machine
LOOPBACK: Final = "127.0.0.1"
_BACKLOG: Final = 2048
_MOST_BYTES: Final = 65_536
_LONGEST: Final = 200  # characters of an issuer
_SECOND: Final = "A second authority also needs its own data: --data DIR."


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises `StartupRefused`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        why = str(error.strerror or error).partition(" (while ")[0]  # Python repeats the address
        taken = error.errno == errno.EADDRINUSE
        raise StartupRefused(
            f"Cannot listen on {host} port {port}: {why}.",
            server_on(host, port, beside=_SECOND) if taken else "Choose another address: --host, --port.",
        ) from None


def metrics_refused(host: str, port: int, error: OSError) -> StartupRefused:
    """Return the refusal to start for a metrics address that cannot be used."""
    why = str(error.strerror or error).partition(" (while ")[0]
    return StartupRefused(
        f"Cannot listen on {host}, metrics port {port}: {why}.",
        "Choose another address: --metrics-host, --metrics-port.",
    )


def server_on(host: str, port: int, *, beside: str = "") -> str:
    """Return the remedy for a port that another program uses. If an AuthSec server uses the port, name that server.

    In this case, the remedy ends with `beside`: the other options that a second server on this machine needs.
    """
    issuer = _issuer_at(host, port)
    if issuer is None:
        return "Stop the program that uses this port, or choose another port: --port."
    said = (
        f"An AuthSec server already runs there: {issuer}. Use that server (its console is {issuer}/console), stop "
        "that server, or choose another port: --port."
    )
    return f"{said} {beside}".rstrip()


def _issuer_at(host: str, port: int) -> str | None:
    """Return the issuer of the authority at that address of this machine.

    Return None if no authority answers over plain HTTP.
    """
    host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104 - no socket is bound here
    if not is_loopback(host):
        return None
    connection = http.client.HTTPConnection(host, port, timeout=ANSWERS_WITHIN)
    try:
        connection.request("GET", "/.well-known/oauth-authorization-server")
        metadata = json.loads(connection.getresponse().read(_MOST_BYTES))
    except (OSError, ValueError, http.client.HTTPException):  # another program, or a busy server
        return None
    finally:
        connection.close()
    if not isinstance(metadata, dict) or "delegation_token_endpoint" not in metadata:
        return None
    issuer = metadata.get("issuer")
    return plain(issuer, _LONGEST) if isinstance(issuer, str) else None
