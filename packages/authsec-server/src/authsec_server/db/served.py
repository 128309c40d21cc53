"""The issuer and the file of outside checkpoints of the server that started last, for commands.

Commands listen nowhere and have none of the server's options. The output of commands must contain the
server's address. Commands must also compare the database with the server's file of outside checkpoints.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select, update

from authsec_server.db.database import Tx
from authsec_server.db.schema import authority


def remember_issuer(tx: Tx, issuer: str) -> None:
    """Save the issuer of a server that starts."""
    tx.connection.execute(update(authority).values(issuer=issuer))


def last_issuer(tx: Tx) -> str:
    """Return the issuer of the server that started last; empty before the first start.

    That server may have ended since.
    """
    return tx.connection.execute(select(authority.c.issuer)).scalar_one() or ""


def remember_checkpoints_file(tx: Tx, file: Path | None) -> None:
    """Save the path of the file of outside checkpoints that a starting server appends to, or None."""
    tx.connection.execute(update(authority).values(checkpoints_file=str(file.absolute()) if file else None))


def last_checkpoints_file(tx: Tx) -> str:
    """Return the file of outside checkpoints of the server that started last; empty without one."""
    return tx.connection.execute(select(authority.c.checkpoints_file)).scalar_one() or ""
