"""The signed-in person's own account: password and sessions."""

from authsec_server.console.account.pages import routes

__all__ = ["routes"]
