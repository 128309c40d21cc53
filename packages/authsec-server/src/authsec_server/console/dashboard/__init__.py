"""The dashboard: current activity, alerts, and a picture of the delegated authority."""

from authsec_server.console.dashboard.pages import routes

__all__ = ["routes"]
