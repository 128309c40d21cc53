"""The dashboard: what is going on, what needs attention, and a picture of who may do what on whose behalf."""

from authsec_server.console.dashboard.pages import routes

__all__ = ["routes"]
