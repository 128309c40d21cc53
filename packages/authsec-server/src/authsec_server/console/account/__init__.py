"""One's own account: password, and where one is signed in."""

from authsec_server.console.account.pages import routes

__all__ = ["routes"]
