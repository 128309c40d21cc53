"""This room's tables, one module each; used by this room only."""

from authsec_server.issuers.store import issuers, keys

__all__ = ["issuers", "keys"]
