"""The issuer and the checkpoints file of the server that started last. The database stores both for commands.

A command does not listen at an address and has none of the server's options. But the output of commands must
contain the server's address. Commands must also compare the database with the checkpoints that the server
stores in a file outside the database.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from pathlib import Path
from typing import Final

from sqlalchemy import select, update

from authsec_server.db.database import Tx
from authsec_server.db.schema import authority
from authsec_server.failures import Conflict

NOT_PROVED: Final = "https://address-not-proved.invalid"
"""The issuer of a command while nothing proves the address in the database. No host has such a name (RFC 6761)."""


def proved(issuer: str) -> str:
    """Return the issuer, for a link or a signed record. Raises `Conflict` for `NOT_PROVED`."""
    if issuer == NOT_PROVED:
        raise Conflict(
            "Nothing proves the address of the server in the database, so nothing was done.",
            "To see why: authsec audit verify. Start the server, which writes its address, or set the address: "
            "AUTHSEC_SERVER_PUBLIC_URL=https://…",
        )
    return issuer


def remember_issuer(tx: Tx, issuer: str, key: bytes) -> None:
    """Save the issuer of a server that starts, with a MAC by this key (HMAC-SHA-256, RFC 2104).

    The attack: raw SQL writes another issuer, and a command prints a link to it.
    """
    tx.connection.execute(update(authority).values(issuer=issuer, issuer_mac=_mac(issuer, key)))


def last_issuer(tx: Tx) -> str:
    """Return the issuer of the server that started last; empty before the first start.

    That server may have ended since. Raw SQL may have written another issuer.
    """
    return tx.connection.execute(select(authority.c.issuer)).scalar_one() or ""


def proves_issuer(tx: Tx, key: bytes) -> bool:
    """Whether a server with this key has saved the issuer that `last_issuer` returns.

    The issuer may be a former one: raw SQL can restore a former issuer with its MAC.
    """
    issuer, mac = tx.connection.execute(select(authority.c.issuer, authority.c.issuer_mac)).one()
    if not isinstance(issuer, str) or not isinstance(mac, str):  # a SQLite file can have octets here
        return False
    return hmac.compare_digest(_mac(issuer, key).encode(), mac.encode())


def _mac(issuer: str, key: bytes) -> str:
    return hmac.new(key, issuer.encode(), sha256).hexdigest()


def remember_checkpoints_file(tx: Tx, file: Path | None) -> None:
    """Save the path of the file, outside the database, to which a starting server appends its checkpoints, or None."""
    tx.connection.execute(update(authority).values(checkpoints_file=str(file.absolute()) if file else None))


def last_checkpoints_file(tx: Tx) -> str:
    """Return the checkpoints file of the server that started last; empty if that server has no such file."""
    return tx.connection.execute(select(authority.c.checkpoints_file)).scalar_one() or ""
