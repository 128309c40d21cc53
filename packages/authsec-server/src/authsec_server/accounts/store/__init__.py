"""Tables of `accounts`, one module each. Only `accounts` uses them."""

from authsec_server.accounts.store import admin_keys, administrators, links, sessions

__all__ = ["admin_keys", "administrators", "links", "sessions"]
