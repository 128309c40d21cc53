"""The search of the top bar: any client, delegation, role, API, administrator, `jti` or request id."""

from authsec_server.console.search.pages import routes

__all__ = ["routes"]
