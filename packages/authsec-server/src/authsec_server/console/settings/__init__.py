"""Settings: the effective values and their origins. Settings change only where the server is started."""

from authsec_server.console.settings.pages import routes

__all__ = ["routes"]
