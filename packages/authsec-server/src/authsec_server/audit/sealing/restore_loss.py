"""Find what a database lost when it was restored from a backup, by its outside checkpoints.

`authsec admin restored` uses the result: it revokes the lost keys, and raises the authority version.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from authsec_server.audit.sealing.checkpoints import (
    KID,
    Checkpoint,
    CheckpointRefused,
    Keys,
    by_size,
    read_checkpoint,
)
from authsec_server.audit.sealing.outside import unverified


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The loss of a restored database, according to its outside checkpoints.

    `newest` is the last checkpoint with the most events. The latest checkpoint was signed at `until`.
    `signing_keys` are the `kid`s of keys that signed tokens or were prepared to sign tokens.
    `unknown_keys` are the `kid`s of sealing keys that the database does not have. `unknown_issuers` are the issuers in
    the checkpoints of these keys.
    """

    newest: Checkpoint | None = None
    until: datetime | None = None
    authority_version: int = 0
    signing_keys: frozenset[str] = frozenset()
    unknown_keys: frozenset[str] = frozenset()
    unknown_issuers: frozenset[str] = frozenset()


def find_loss(lines: Sequence[str], keys: Keys, others: Collection[str] = ()) -> Loss:
    """Collect from these lines, oldest first, what a restored database lost. `others` are issuers of other authorities.

    The issuer in the database does not decide, because the backup may be from before a new address of the server.

    A signature is verified only if its checkpoint adds something to the result.
    Of a checkpoint by an unknown key, only the key ids are used: to revoke a key too many does no harm.
    """
    newest: Checkpoint | None = None
    version, until, kids, unknown, issuers = 0, 0, set[str](), set[str](), set[str]()
    for line in map(str.strip, reversed(lines)):
        kid, claims = unverified(line)
        listed = claims.get("signing_keys")
        named = {each for each in listed if isinstance(each, str)} if isinstance(listed, list) else set()
        if kid and kid not in keys and (issuer := claims.get("iss")) not in others:
            unknown.add(kid)
            issuers |= {issuer} if isinstance(issuer, str) else set()
            kids |= {each for each in named if KID.fullmatch(each)}
            continue
        known = {"size": newest.size if newest else -1, "authority_version": version, "iat": until}
        if kid not in keys or not (named - kids or _exceeds(claims, known)):
            continue
        try:
            checkpoint = read_checkpoint(line, keys)
        except CheckpointRefused:
            continue
        newest = max(newest or checkpoint, checkpoint, key=by_size)
        version, until = max(version, checkpoint.authority_version or 0), max(until, int(checkpoint.at.timestamp()))
        kids |= set(checkpoint.signing_keys)
    return Loss(
        newest=newest,
        until=datetime.fromtimestamp(until, UTC) if newest else None,
        authority_version=version,
        signing_keys=frozenset(kids),
        unknown_keys=frozenset(unknown),
        unknown_issuers=frozenset(issuers),
    )


def _exceeds(claims: Mapping[str, Any], known: Mapping[str, int]) -> bool:
    return any(isinstance(number := claims.get(name), int) and number > most for name, most in known.items())
