"""This room's tables, one module each; used by this room only."""

from authsec_server.accounts.store import admin_keys, administrators, links, sessions

__all__ = ["admin_keys", "administrators", "links", "sessions"]
