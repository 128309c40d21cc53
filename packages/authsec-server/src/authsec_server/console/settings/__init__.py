"""Settings: what is in force, and where each value comes from. They are changed where the server is started."""

from authsec_server.console.settings.pages import routes

__all__ = ["routes"]
