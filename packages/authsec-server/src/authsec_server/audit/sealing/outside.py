"""Compare the database with its outside heads: those in the file that `AUTHSEC_SERVER_AUDIT_HEADS` names.

A head is in the database before it goes to the file. So a database that lacks one was replaced by an older one, and has
forgotten revocations. The file is read first and the database second: another server may write to both meanwhile.

Read is the end of the file. Nobody but the server should be able to append to it: who can, may also fill the disk.
Lines of others make the read longer, up to `MOST_BYTES`, and hide nothing within that.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any, Final

from sqlalchemy import Connection

from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.heads import KID, TYPE, Head, HeadRefused, Keys, NoHead, read_head
from authsec_server.audit.sealing.restores import Restore, excused_until, restores_in
from authsec_server.audit.sealing.succession import Succession, succession
from authsec_server.audit.tree import Tree
from authsec_server.db import Tx

TAIL_BYTES: Final = 512 * 1024  # some 800 heads
MOST_BYTES: Final = 64 * 1024 * 1024
READ_SECONDS: Final = 5.0  # a mount that hangs is not waited for
LEAVES_AT_ONCE: Final = 10_000
WALK_AT_MOST: Final = 200_000  # leaves, half a second; of a longer log the stored heads of each minute suffice


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The last lines of the file, oldest first; `cut`: the file has earlier ones. `unread` says why there are none."""

    lines: Sequence[str] = ()
    cut: bool = False
    unread: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Heads that keys of this database signed, and the names of `unknown` keys that signed heads of this issuer."""

    heads: Sequence[Head] = ()
    unknown: Sequence[str] = ()


def read_lines(path: Path, at_most: int | None = None) -> Lines:
    """The last `TAIL_BYTES` of the file, or so many. Never waits longer than `READ_SECONDS`."""
    found: list[Lines] = []

    def read() -> None:
        found.append(last_lines(path, at_most or TAIL_BYTES))

    reading = Thread(target=read, name="authsec-heads-read", daemon=True)
    reading.start()
    reading.join(READ_SECONDS)
    return found[0] if found else Lines(unread=f"{path} did not answer within {READ_SECONDS:g} s")


def last_lines(path: Path, at_most: int) -> Lines:
    """The last so many bytes of the file, for as long as that takes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # else a pipe would block here
        with os.fdopen(descriptor, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - at_most)
            file.seek(start)
            lines = file.read(at_most).decode("ascii", "replace").splitlines()
    except FileNotFoundError:
        return Lines()  # nothing was sent there yet
    except OSError as error:
        return Lines(unread=f"{path} cannot be read: {error.strerror}")
    return Lines(lines=lines[1:] if start else lines, cut=start > 0)


def outside_heads(lines: Sequence[str], keys: Keys, issuer: str) -> Outside:
    """What these lines hold. Lines that are no head, or that no key signed as they stand, count for nothing."""
    heads, unknown = list[Head](), dict[str, None]()
    for line in map(str.strip, lines):
        try:
            heads += [read_head(line, keys)] if line else []
        except NoHead:
            continue  # a line that a full disk has torn
        except HeadRefused:
            kid, claims = unverified(line)
            if kid not in keys and claims.get("iss") == issuer:  # another issuer's key proves nothing here
                unknown[kid] = None
    return Outside(heads=heads, unknown=tuple(unknown))


def unverified(line: str) -> tuple[str, dict[str, Any]]:
    """The `kid` and the claims of a head whose signature nobody here can verify."""
    try:
        header, claims = (
            json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in line.split(".")[:2]
        )
    except (ValueError, binascii.Error, RecursionError):
        return "", {}
    if not isinstance(header, dict) or not isinstance(claims, dict) or header.get("typ") != TYPE:
        return "", {}
    return str(header.get("kid")), claims


def find_problem(tx: Tx, outside: Outside, keys: Keys) -> str | None:
    """Why this database is older than its outside heads, or another than the one that signed them; None if neither."""
    restores = restores_in(tx.connection, keys)
    believing = succession(store.replacements(tx.connection), keys)
    heads = _to_compare(outside.heads, believing, restores)
    excused = {kid for each in restores for kid in each.unknown_keys}
    if unknown := [kid for kid in outside.unknown if kid not in excused]:
        return (
            f"A head in the file of outside heads is signed by the sealing key {unknown[0]}, which this database does"
            " not have. The database is older than that key, or the file belongs to another authority."
        )
    if not heads:
        return None
    store.be_patient(tx.connection)
    return find_older(tx, heads) or _forked(tx.connection, heads)


def has_heads(tx: Tx, outside: Outside, keys: Keys) -> bool:
    """Whether there is a head to compare with at all."""
    believing = succession(store.replacements(tx.connection), keys)
    return bool(_to_compare(outside.heads, believing, restores_in(tx.connection, keys)))


def newest_size(tx: Tx) -> int:
    """How many events the newest head in the database covers; 0 without one."""
    newest = store.newest_head(tx.connection)
    return newest[0] if newest else 0


def _to_compare(heads: Sequence[Head], believing: Succession, restores: Sequence[Restore]) -> list[Head]:
    """The heads that count, smallest first: none that a record excuses, none by a replaced key after its end."""
    until = excused_until(restores)
    counting = [head for head in heads if head.size <= believing.end(head.kid) and (until is None or head.at > until)]
    return sorted(counting, key=lambda head: head.size)


def find_older(tx: Tx, heads: Sequence[Head]) -> str | None:
    """Why the database is older than these heads, the last of which is the largest; None if it is not."""
    size = newest_size(tx)
    largest = heads[-1]
    if largest.size > size:
        return (
            f"The database is older than a head it signed at {_when(largest)}: the head covers {largest.size:,} events,"
            f" the database has {size:,} sealed ones."
        )
    raised = max(heads, key=lambda head: head.authority_version or 0)
    if (raised.authority_version or 0) > tx.version:
        return (
            f"The database is older than a head it signed at {_when(raised)}: the head has authority version"
            f" {raised.authority_version:,}, the database {tx.version:,}."
        )
    return None


def _forked(connection: Connection, heads: Sequence[Head]) -> str | None:
    """Compare the roots. The leaves are read where no stored head has the size of the newest outside one."""
    stored = dict(store.heads_between(connection, heads[0].size - 1, heads[-1].size))
    pairs: Sequence[tuple[Head, str]] = [(head, _root(stored[head.size])) for head in heads if head.size in stored]
    if heads[-1].size not in stored and (not pairs or heads[-1].size <= WALK_AT_MOST):
        pairs = _roots(connection, heads)
    other = next((head for head, root in pairs if root != head.root), None)
    if other is None:
        return None
    return f"The database did not sign the head of {_when(other)}: its first {other.size:,} events are others."


def _root(signed: str) -> str:
    """The root that a stored head names. The sealer verifies its signature; a forged one is a mismatch here as well."""
    root: str = unverified(signed)[1].get("root", "")
    return root


def _roots(connection: Connection, heads: Sequence[Head]) -> Sequence[tuple[Head, str]]:
    tree, found = Tree(), list[tuple[Head, str]]()
    for head in heads:
        while tree.size < head.size:
            limit = min(LEAVES_AT_ONCE, head.size - tree.size)
            hashes = store.hashes(connection, after=tree.size - 1, limit=limit)
            if not hashes:
                return [*found, (head, "")]
            tree = tree.with_leaves(hashes)
        found.append((head, tree.root.hex()))
    return found


def _when(head: Head) -> str:
    return f"{head.at:%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """What outside heads say of the time that a restored database lost.

    `signing_keys` are the `kid`s of keys that signed tokens or were about to, `unknown_keys` those of sealing keys that
    the database does not have. `newest` is the head with the most events; the last one was signed at `until`.
    """

    newest: Head | None = None
    until: datetime | None = None
    authority_version: int = 0
    signing_keys: frozenset[str] = frozenset()
    unknown_keys: frozenset[str] = frozenset()


def lost_of(lines: Sequence[str], keys: Keys, issuer: str) -> Lost:
    """What all these lines say, oldest first. A signature is verified where a head adds something.

    Of a head that a key unknown here signed, only the names of keys count: to revoke one too many does no harm.
    """
    newest: Head | None = None
    version, until, kids, unknown = 0, 0, set[str](), set[str]()
    for line in map(str.strip, reversed(lines)):
        kid, claims = unverified(line)
        listed = claims.get("signing_keys")
        named = {each for each in listed if isinstance(each, str)} if isinstance(listed, list) else set()
        if kid and kid not in keys and claims.get("iss") == issuer:
            unknown.add(kid)
            kids |= {each for each in named if KID.fullmatch(each)}
            continue
        known = {"size": newest.size if newest else -1, "authority_version": version, "iat": until}
        if kid not in keys or not (named - kids or _exceeds(claims, known)):
            continue
        try:
            head = read_head(line, keys)
        except HeadRefused:
            continue
        newest = head if newest is None or head.size > newest.size else newest
        version, until = max(version, head.authority_version or 0), max(until, int(head.at.timestamp()))
        kids |= set(head.signing_keys)
    return Lost(
        newest=newest,
        until=datetime.fromtimestamp(until, UTC) if newest else None,
        authority_version=version,
        signing_keys=frozenset(kids),
        unknown_keys=frozenset(unknown),
    )


def _exceeds(claims: Mapping[str, Any], known: Mapping[str, int]) -> bool:
    return any(isinstance(number := claims.get(name), int) and number > most for name, most in known.items())
