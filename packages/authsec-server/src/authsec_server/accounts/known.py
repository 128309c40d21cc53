"""Whom a person means by a name: for the rooms that look for what somebody did."""

from __future__ import annotations

from authsec_server import naming
from authsec_server.accounts.store import admin_keys, administrators
from authsec_server.db import Tx
from authsec_server.failures import Invalid
from authsec_server.principal import PrincipalKind


def person(tx: Tx, text: str) -> tuple[PrincipalKind, str] | None:
    """The administrator with this email or id, or the admin key with this name or id. Asks for no principal.

    None for neither. Raises `Invalid` for both: somebody may have inserted one of them to hide what the other did.
    Reads ids alone: a cell of another column that no program can read must not hide what somebody did.
    """
    if naming.is_uuid(text):
        administrator = administrators.id_of(tx.connection, id_=text)
        key = admin_keys.id_of(tx.connection, id_=text)
    else:
        administrator = administrators.id_of(tx.connection, email=text.lower())
        key = admin_keys.id_of(tx.connection, name=text)
    if administrator and key:
        raise Invalid(
            "by",
            f"{naming.quoted(text)} is an administrator ({administrator}) and an admin key ({key}).",
            "Give the id of the one that you mean.",
        )
    if administrator:
        return PrincipalKind.ADMINISTRATOR, administrator
    return (PrincipalKind.ADMIN_KEY, key) if key else None
