"""How this authority was last served, for commands: they listen nowhere, and have none of the server's options.

What they print must lead to who serves, and they compare the database with the same outside heads.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select, update

from authsec_server.db.database import Tx
from authsec_server.db.schema import authority


def remember_issuer(tx: Tx, issuer: str) -> None:
    """Keep the issuer of a server that starts."""
    tx.connection.execute(update(authority).values(issuer=issuer))


def last_issuer(tx: Tx) -> str:
    """The issuer of the server that started last; it may have ended since. Empty where none ever did."""
    return tx.connection.execute(select(authority.c.issuer)).scalar_one() or ""


def remember_heads_file(tx: Tx, file: Path | None) -> None:
    """Keep which file of outside heads a server that starts appends to; None where it has none."""
    tx.connection.execute(update(authority).values(heads_file=str(file.absolute()) if file else None))


def last_heads_file(tx: Tx) -> str:
    """The file of outside heads of the server that started last. Empty where it had none."""
    return tx.connection.execute(select(authority.c.heads_file)).scalar_one() or ""
