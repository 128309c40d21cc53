"""Signing keys: their states, rotation and revocation."""

from authsec_server.console.keys.pages import routes

__all__ = ["routes"]
