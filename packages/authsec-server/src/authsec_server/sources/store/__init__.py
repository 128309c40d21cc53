"""This room's tables, one module each; used by this room only."""

from authsec_server.sources.store import keys, sources

__all__ = ["keys", "sources"]
