"""Where this authority was last served: commands listen nowhere, and what they print must lead to who does."""

from __future__ import annotations

from sqlalchemy import select, update

from authsec_server.db.database import Tx
from authsec_server.db.schema import authority


def remember_issuer(tx: Tx, issuer: str) -> None:
    """Keep the issuer of a server that starts."""
    tx.connection.execute(update(authority).values(issuer=issuer))


def last_issuer(tx: Tx) -> str:
    """The issuer of the server that started last; it may have ended since. Empty where none ever did."""
    return tx.connection.execute(select(authority.c.issuer)).scalar_one() or ""
