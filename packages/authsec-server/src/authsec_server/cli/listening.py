"""Whether a server listens at an address of this machine."""

from __future__ import annotations

import socket
from typing import Final
from urllib.parse import urlsplit

from authsec.config import is_loopback

_ANSWERS_WITHIN: Final = 0.5  # seconds, on this machine


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
