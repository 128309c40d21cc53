"""Keys: the signing keys, where in its life each is, and rotation."""

from authsec_server.console.keys.pages import routes

__all__ = ["routes"]
