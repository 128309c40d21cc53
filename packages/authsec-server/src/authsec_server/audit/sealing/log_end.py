"""The end of the sealed log: the number of its seals, and the checkpoint that covers all of them.

The attack: raw SQL deletes or plants checkpoints for a moment, so that an older genuine checkpoint looks like the
newest one. A server writes seals and their checkpoint in one transaction, so the newest checkpoint covers all seals.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, func, select

from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import CheckpointRefused, Keys, read_checkpoint
from authsec_server.audit.sealing.outside import unverified
from authsec_server.audit.store import sealed_events

_MOST: Final = 10  # checkpoints of one size that are read; a server stores two


def number_of_seals(connection: Connection) -> int:
    """Return the place behind the last seal, which is the number of seals in an unchanged log."""
    last: Any = connection.execute(select(func.max(sealed_events.c.position))).scalar_one_or_none()
    return last + 1 if isinstance(last, int) else 0


def issuer_at_end(connection: Connection, keys: Keys | None) -> str | None:
    """Return the issuer in the newest checkpoint that covers all seals; None if no valid checkpoint covers them.

    Without the `keys`, no signature is verified. The signed time decides, because raw SQL can change the row's time.
    """
    size, found = number_of_seals(connection), list[tuple[int, str]]()
    for signed in store.signed_of_size(connection, size, _MOST):
        claims = unverified(signed)[1]
        at, issuer = claims.get("iat"), claims.get("iss")
        if claims.get("size") == size and isinstance(at, int) and isinstance(issuer, str) and _is_valid(signed, keys):
            found.append((at, issuer))
    issuers = {issuer for at, issuer in found if at == max(found)[0]}
    return issuers.pop() if len(issuers) == 1 else None  # of two from one second, a server keeps one


def _is_valid(signed: str, keys: Keys | None) -> bool:
    try:
        return keys is None or bool(read_checkpoint(signed, keys))
    except CheckpointRefused:
        return False
