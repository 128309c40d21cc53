"""Whether a server listens at an address of this machine, and whether that is an authority."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Final
from urllib.parse import urlsplit

from authsec.config import is_loopback
from authsec.wording import plain

_ANSWERS_WITHIN: Final = 0.5  # seconds, on this machine
_MOST_BYTES: Final = 65_536
_LONGEST: Final = 200  # characters of an issuer


def taken_by(host: str, port: int, *, beside: str = "") -> str:
    """What to do about a port that another program has: an AuthSec that answers there is named.

    `beside` says what else is needed to run beside that AuthSec.
    """
    issuer = _issuer_at(host, port)
    if issuer is None:
        return "Stop the program that has it, or choose another: --port."
    said = (
        f"An AuthSec answers there already: {issuer}. Use that one (its console is {issuer}/console), stop it, or "
        "choose another port: --port."
    )
    return f"{said} {beside}".rstrip()


def _issuer_at(host: str, port: int) -> str | None:
    """What the authority at that address of this machine calls itself; None where none answers over plain HTTP."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound: it is asked here
    if not is_loopback(host):
        return None
    connection = http.client.HTTPConnection(host, port, timeout=_ANSWERS_WITHIN)
    try:
        connection.request("GET", "/.well-known/oauth-authorization-server")
        metadata = json.loads(connection.getresponse().read(_MOST_BYTES))
    except (OSError, ValueError, http.client.HTTPException):  # another program, or one that is busy
        return None
    finally:
        connection.close()
    if not isinstance(metadata, dict) or "delegation_token_endpoint" not in metadata:
        return None
    issuer = metadata.get("issuer")
    return plain(issuer, _LONGEST) if isinstance(issuer, str) else None


def listens(url: str) -> bool | None:
    """Whether somebody does; None of another machine's: a proxy in between, or none, would prove nothing."""
    address = urlsplit(url)
    host, port = address.hostname or "", address.port or (443 if address.scheme == "https" else 80)
    if not is_loopback(host):
        return None
    try:
        socket.create_connection((host, port), timeout=_ANSWERS_WITHIN).close()
    except OSError:  # nobody does, which is what was asked
        return False
    return True
