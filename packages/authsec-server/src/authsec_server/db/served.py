"""The issuer and the checkpoints file of the server that started last. The database stores both for commands.

A command does not listen at an address and has none of the server's options. But the output of commands must
contain the server's address. Commands must also compare the database with the checkpoints that the server
stores in a file outside the database.
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
    """Save the path of the file, outside the database, to which a starting server appends its checkpoints, or None."""
    tx.connection.execute(update(authority).values(checkpoints_file=str(file.absolute()) if file else None))


def last_checkpoints_file(tx: Tx) -> str:
    """Return the checkpoints file of the server that started last; empty if that server has no such file."""
    return tx.connection.execute(select(authority.c.checkpoints_file)).scalar_one() or ""
