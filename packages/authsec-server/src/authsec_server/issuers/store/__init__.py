"""The tables of `issuers`, one module for each table. Only `issuers` uses them."""

from authsec_server.issuers.store import issuers, keys

__all__ = ["issuers", "keys"]
