"""Find an administrator by id or e-mail address."""

from __future__ import annotations

from authsec_server import naming
from authsec_server.accounts.model.administrators import Administrator, read_email
from authsec_server.accounts.store import administrators as store
from authsec_server.db import Tx
from authsec_server.failures import NotFound
from authsec_server.suggest import told_nearest


def administrator(tx: Tx, reference: str) -> Administrator:
    """Return the administrator with this id or e-mail address. Raises `NotFound`."""
    found = None
    if naming.is_uuid(reference):
        found = store.by_id(tx.connection, reference)
    elif address := read_email(reference):
        found = store.by_email(tx.connection, address)
    if found is None:
        address = read_email(reference) or ""
        known = store.emails_near(tx.connection, address) if address else []
        listed = told_nearest(address, known, "See the list: authsec admin list")
        raise NotFound(f"There is no administrator {naming.quoted(reference)}.", listed)
    return found
