"""Compare the database with its outside checkpoints: signed checkpoints in a file outside the database.

The setting `AUTHSEC_SERVER_AUDIT_CHECKPOINTS` names the file.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from authsec_server.audit.merkle_tree import Tree
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoint_file import CheckpointLines, read_lines
from authsec_server.audit.sealing.checkpoints import (
    TYPE,
    Checkpoint,
    CheckpointRefused,
    Keys,
    NoCheckpoint,
    by_size,
    read_checkpoint,
    when,
)
from authsec_server.audit.sealing.restores import Restore, lost_until, restores_in
from authsec_server.audit.sealing.succession import Succession
from authsec_server.db import Database, Tx
from authsec_server.db.database import PROMOTED
from authsec_server.db.served import last_checkpoints_file

MOST_BYTES: Final = 64 * 1024 * 1024
LEAVES_AT_ONCE: Final = 10_000
WALK_AT_MOST: Final = 200_000  # leaves, half a second; in a longer log, only stored checkpoints are compared


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideCheckpoints:
    """The outside checkpoints of this issuer that were found in the file.

    `checkpoints` are signed by keys of this database.
    `unknown` are the ids of keys that signed other checkpoints of this issuer, but are not in this database.
    """

    checkpoints: Sequence[Checkpoint] = ()
    unknown: Sequence[str] = ()


def outside_checkpoints(
    lines: Sequence[str], keys: Keys, issuer: str | None, others: Collection[str] = ()
) -> OutsideCheckpoints:
    """Parse these lines. Ignore lines that are not checkpoints, and checkpoints of other issuers.

    If `issuer` is None, each issuer is this authority's, but for those of other authorities in `others`.
    """
    checkpoints, unknown = list[Checkpoint](), dict[str, None]()
    for line in map(str.strip, lines):
        try:
            checkpoints += [read_checkpoint(line, keys)] if line else []
        except NoCheckpoint:
            continue  # an incomplete line, because the disk was full
        except CheckpointRefused:
            kid, claims = unverified(line)
            its = claims.get("iss")
            if kid not in keys and issuer in (None, its) and its not in others:  # another's key proves nothing here
                unknown[kid] = None
    return OutsideCheckpoints(checkpoints=checkpoints, unknown=tuple(unknown))


def unverified(line: str) -> tuple[str, dict[str, Any]]:
    """Return the `kid` and the unverified claims of a checkpoint; empty if the text is not a checkpoint."""
    try:
        header, claims = (
            json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in line.split(".")[:2]
        )
    except (ValueError, binascii.Error, RecursionError):
        return "", {}
    if not isinstance(header, dict) or not isinstance(claims, dict) or header.get("typ") != TYPE:
        return "", {}
    return str(header.get("kid")), claims


def find_problem(tx: Tx, outside: OutsideCheckpoints, keys: Keys) -> str | None:
    """Return in a sentence why the database does not match its outside checkpoints; None if it does.

    Either the database is older than a checkpoint, or it is not the database that signed the checkpoint.
    """
    restores = restores_in(tx.connection, keys)
    sealing_keys = store.succession_in(tx.connection, keys)
    checkpoints = _to_compare(outside.checkpoints, sealing_keys, restores)
    lost_keys = {kid for each in restores for kid in each.unknown_keys}
    if unknown := [kid for kid in outside.unknown if kid not in lost_keys]:
        return (
            f"An outside checkpoint in the file is signed by the sealing key {unknown[0]}, which this database does "
            "not have. Either the database is older than that key, or the file is wrong: it belongs to another "
            "authority or to an earlier audit log. If the file is wrong, do not run `authsec admin restored`. Name a "
            "new file with --audit-checkpoints."
        )
    if not checkpoints:
        return None
    store.allow_long_statements(tx.connection)
    return find_older(tx, checkpoints) or _forked(tx.connection, checkpoints)


def has_checkpoints(tx: Tx, outside: OutsideCheckpoints, keys: Keys) -> bool:
    """Whether there is an outside checkpoint to compare the database with."""
    sealing_keys = store.succession_in(tx.connection, keys)
    return bool(_to_compare(outside.checkpoints, sealing_keys, restores_in(tx.connection, keys)))


def newest_size(tx: Tx) -> int:
    """Return how many events the newest checkpoint in the database covers; 0 without a checkpoint."""
    newest = store.newest_checkpoint(tx.connection)
    return newest[0] if newest else 0


def _to_compare(
    checkpoints: Sequence[Checkpoint], sealing_keys: Succession, restores: Sequence[Restore]
) -> list[Checkpoint]:
    """Return the outside checkpoints to compare, smallest first.

    Two sorts of checkpoints are left out:

    - checkpoints up to the time of a restore, which a restore record declares lost;
    - checkpoints that a key signed after another key had replaced it.
    """
    until = lost_until(restores)
    counting = [
        checkpoint
        for checkpoint in checkpoints
        if checkpoint.size <= sealing_keys.end(checkpoint.kid) and (until is None or checkpoint.at > until)
    ]
    return sorted(counting, key=by_size)


def find_older(tx: Tx, checkpoints: Sequence[Checkpoint]) -> str | None:
    """Return in a sentence why the database is older than these checkpoints; None if it is not older.

    The last one of `checkpoints` must be the largest.
    """
    size = newest_size(tx)
    largest = checkpoints[-1]
    if largest.size > size:
        return (
            f"The database is older than a checkpoint that it signed at {when(largest)}: the checkpoint covers "
            f"{largest.size:,} events, but the database has only {size:,} sealed events."
        )
    raised = max(checkpoints, key=lambda checkpoint: (checkpoint.authority_version or 0, checkpoint.at))
    if (raised.authority_version or 0) > tx.version:
        return (
            f"The database is older than a checkpoint that it signed at {when(raised)}: the checkpoint has "
            f"authority version {raised.authority_version:,}, but the database has only version {tx.version:,}."
        )
    return None


def _forked(connection: Connection, checkpoints: Sequence[Checkpoint]) -> str | None:
    """Compare the root hashes. Return a sentence about the first checkpoint that differs; None if all match.

    The leaves are read if a stored checkpoint differs, so that the sentence names the same checkpoint as
    `authsec audit verify`. The leaves are also read if the database has no checkpoint of the same size as the
    largest outside checkpoint. In a long log, the leaves are read only if nothing else can be compared.
    """
    stored = dict(store.checkpoints_between(connection, checkpoints[0].size - 1, checkpoints[-1].size))
    pairs: Sequence[tuple[Checkpoint, str]] = [
        (checkpoint, _root(stored[checkpoint.size])) for checkpoint in checkpoints if checkpoint.size in stored
    ]
    other, is_short = _first_other(pairs), checkpoints[-1].size <= WALK_AT_MOST
    if (other and is_short) or (checkpoints[-1].size not in stored and (not pairs or is_short)):
        other = _first_other(_roots(connection, checkpoints)) or other
    if other is None:
        return None
    return (
        f"The database did not sign the checkpoint of {when(other)}: the database's first {other.size:,} events "
        "are different."
    )


def _first_other(pairs: Sequence[tuple[Checkpoint, str]]) -> Checkpoint | None:
    """Return the first checkpoint that has another root hash than the database; None if there is none."""
    return next((checkpoint for checkpoint, root in pairs if root != checkpoint.root), None)


def _root(signed: str) -> str:
    """Return the root hash in a checkpoint of the database, without verifying the signature.

    The sealer verifies the signature. Here, a forged checkpoint only leads to a difference.
    """
    root: str = unverified(signed)[1].get("root", "")
    return root


def _roots(connection: Connection, checkpoints: Sequence[Checkpoint]) -> Sequence[tuple[Checkpoint, str]]:
    tree, found = Tree(), list[tuple[Checkpoint, str]]()
    for checkpoint in checkpoints:
        while tree.size < checkpoint.size:
            limit = min(LEAVES_AT_ONCE, checkpoint.size - tree.size)
            hashes = store.hashes(connection, after=tree.size - 1, limit=limit)
            if not hashes:
                return [*found, (checkpoint, "")]
            tree = tree.with_leaves(hashes)
        found.append((checkpoint, tree.root.hex()))
    return found


COPIED: Final = (
    "The database file was copied while a server ran, without its -wal file: its last transactions are missing."
)


@dataclass(slots=True, kw_only=True)
class Comparison:
    """The comparison of the database with its outside checkpoints, for the life of one server process.

    `problem` is None as long as the database matches its outside checkpoints.
    `not_compared` is the reason why no comparison was possible; empty if there is none.
    `path` is None if checkpoints are posted to an address or sent nowhere.
    """

    database: Database
    path: Path | None
    to_address: bool = False
    keys: Callable[[], Keys] = dict  # the sealing keys, once the database is open
    issuer: str | None = ""  # None: any
    problem: str | None = None
    not_compared: str = ""
    _lines: CheckpointLines = field(default_factory=CheckpointLines)
    _recorded: int | None = None  # number of restores when a plain copy or a promotion was found
    _last: Checkpoint | None = None  # the newest checkpoint that this process saw in the database

    def read_file(self) -> None:
        """Read the last lines of the file with outside checkpoints.

        Call this method before the database is opened. Then the database is at least as new as the lines.
        """
        self._lines = read_lines(self.path) if self.path else CheckpointLines()
        if self.to_address:
            self.not_compared = (
                "the outside checkpoints are sent to an address, and this server cannot read the checkpoints there"
            )
        else:
            self.not_compared = self._lines.unread

    def note_left_out(self, last: str) -> bool:
        """Return whether this server was started without the checkpoints file `last` of the last server.

        Then set `not_compared`, and the database should go on naming the file for commands. A file that is no longer
        there is not missed.
        """
        if self.path or self.to_address or not last or not Path(last).exists():
            return False
        self.not_compared = (
            f"the last server kept its checkpoints in {last}, and this server was started without the file: it cannot "
            "detect an older database. Start it with --audit-checkpoints, or move the file away"
        )
        return True

    def why_not_compared(self) -> str:
        """Return why the database was not compared with outside checkpoints; empty if it was compared."""
        if self.problem:
            return ""
        if self.not_compared or self._lines.lines or self._last:
            return self.not_compared
        return f"{self.path} has no checkpoints" if self.path else "no file with outside checkpoints is set"

    def note(self, checkpoint: Checkpoint) -> None:
        """Remember the newest checkpoint that this process signed or read in the database."""
        self._last = checkpoint

    def compare(self) -> str | None:
        """Compare the database with the lines from `read_file`. Return the problem in a sentence, or None.

        Raises `Unavailable` if the database is not available.
        """
        was_promoted = self.database.was_promoted and self._is_not_recorded()
        if not self._lines.lines and self._last is None and not self.database.lacks_wal:
            self._note_new_file("is new or empty")
            return PROMOTED if was_promoted else None  # there are no checkpoints, and perhaps no keys in this database
        keys = self.keys()
        outside = outside_checkpoints(self._lines.lines, keys, self.issuer)
        if self._lines.cut and self.path and not _mostly_checkpoints(outside, self._lines):
            self._lines = read_lines(self.path, MOST_BYTES)
            outside = outside_checkpoints(self._lines.lines, keys, self.issuer)
        if not outside.checkpoints and not outside.unknown and self._last is None:
            self._note_new_file("has no checkpoint of this authority")
        if self._last:
            outside = OutsideCheckpoints(checkpoints=[*outside.checkpoints, self._last], unknown=outside.unknown)
        problem = self.database.read(lambda tx: find_problem(tx, outside, keys))
        if self.database.lacks_wal and problem is None:
            return self._copied(outside, keys)
        return problem or (PROMOTED if was_promoted else None)

    def _is_not_recorded(self) -> bool:
        """Whether no restore was recorded since a promotion was found. Otherwise, the promotion is accepted."""
        recorded = self.database.read(lambda tx: len(restores_in(tx.connection, self.keys())))
        self._recorded = recorded if self._recorded is None else self._recorded
        if recorded == self._recorded:
            return True
        self._recorded = None  # another standby may be promoted later
        self.database.accept_promotion()
        return False

    def _note_new_file(self, why: str) -> None:
        """Set `not_compared` if the file has no checkpoint although the database has signed checkpoints.

        The path may be mistyped. A wrong file must not look like a successful comparison.
        A new authority has signed no checkpoint yet, so its file may be empty.
        """
        if self.path and not self.not_compared and self.database.read(newest_size):
            self.not_compared = (
                f"{self.path} {why}, although this database has signed checkpoints: this start cannot detect an "
                "older database. If the path is correct, the next start can"
            )

    def _copied(self, outside: OutsideCheckpoints, keys: Keys) -> str | None:
        """Return `COPIED` if the database file may be a plain copy that lacks its last transactions; else None.

        A missing `-wal` file alone does not prove a loss: after a server was killed, another program may have closed
        the file and left the server's mark in it.
        The loss is ruled out by a checkpoint in the last server's checkpoint file, or by a restore recorded since.
        """
        recorded = self.database.read(lambda tx: len(restores_in(tx.connection, keys)))
        self._recorded = recorded if self._recorded is None else self._recorded
        is_compared = self._is_of_last_server() and self.database.read(lambda tx: has_checkpoints(tx, outside, keys))
        if recorded == self._recorded and not is_compared:
            return COPIED
        self.database.lacks_wal = False
        return None

    def _is_of_last_server(self) -> bool:
        """Whether the checkpoints come from the last server's file. An earlier file lacks newer checkpoints."""
        last = self.database.read(last_checkpoints_file)
        return not last or (self.path is not None and str(self.path.absolute()) == last)

    def has_gone_back(self) -> bool:
        """Whether the database may be older than what this process saw in it. This check is quick.

        Raises `Unavailable` if the database is not available.
        """
        last = self._last
        if self.database.was_promoted:
            return True
        return last is not None and self.database.read(lambda tx: find_older(tx, [last])) is not None

    def reset(self) -> None:
        """Forget the newest checkpoint that this process saw, because a restore was recorded."""
        self._last = None


def _mostly_checkpoints(outside: OutsideCheckpoints, lines: CheckpointLines) -> bool:
    return len(outside.checkpoints) >= len(lines.lines) // 2


def comparison_of(where: str, database: Database) -> Comparison:
    """Return the comparison for the setting `where`: a path, an address or empty. Only a file is compared."""
    to_address = "://" in where
    path = Path(where) if where and not to_address else None
    return Comparison(database=database, path=path, to_address=to_address)
