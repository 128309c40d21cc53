"""The search of the top bar: clients, delegations, roles, APIs, administrators, and events by `jti` or request id."""

from authsec_server.console.search.pages import routes

__all__ = ["routes"]
