"""Whom a person means by a name: for the rooms that look for what somebody did."""

from __future__ import annotations

from authsec_server.accounts.store import admin_keys, administrators
from authsec_server.db import Tx
from authsec_server.principal import PrincipalKind


def person(tx: Tx, text: str) -> tuple[PrincipalKind, str] | None:
    """The administrator with this email, or the admin key of this name; None for neither. Asks for no principal."""
    if administrator := administrators.by_email(tx.connection, text.lower()):
        return PrincipalKind.ADMINISTRATOR, administrator.id
    if key := admin_keys.by_name(tx.connection, text):
        return PrincipalKind.ADMIN_KEY, key.id
    return None
