"""Ports for servers in processes of their own."""

from __future__ import annotations

import secrets
import socket

# Linux gives ports from 32768 to connections, and to servers that ask for any port.
_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """Return a port that no program uses, outside the ports that other tests get before its server starts."""
    while True:
        port = secrets.choice(_PORTS)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:  # a server of another test listens there
            continue
