"""The tables of this package, one module for each table. For this package only."""

from authsec_server.issuers.store import issuers, keys

__all__ = ["issuers", "keys"]
