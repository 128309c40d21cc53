"""Trust sources: whose word counts for which selectors. The page says what there is; registering comes with them."""

from authsec_server.console.sources.pages import routes

__all__ = ["routes"]
