"""Measure the cost of a long audit log: sealing, verifying and exporting it.

    uv run --no-sync python benchmarks/audit/long_log.py [--events 200000] [postgresql+psycopg://user@host/empty]
    uv run --no-sync python benchmarks/audit/long_log.py --events 10000000 --at-once --only-verify
    uv run --no-sync python benchmarks/audit/long_log.py --leaves 1000000 [postgresql+psycopg://user@host/empty]

So many events of 60 days are written into a new database: one of SQLite in a temporary folder, unless an empty one is
named. Then come the commands that an administrator types, each in a process of its own. With `--at-once` the events are
written together with their seals (SQLite only), with `--leaves` the seals alone, as if all events had been dropped:
that shows how a server starts. With `--only-verify` no other command is run.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import secrets
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from authsec_server.app import Authority, open_authority
from authsec_server.audit import number_ranges, pages
from authsec_server.audit.merkle_tree import Tree, event_hash
from authsec_server.audit.partitions import prepare_months
from authsec_server.audit.rollup import roll_up
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import sign_checkpoint
from authsec_server.audit.store import event_delegations, events, with_mac
from authsec_server.db import Database, Tx
from authsec_server.settings import Settings, load_settings
from sqlalchemy import func, insert, select, text

AUTHSEC = (sys.executable, "-c", "from authsec.cli import main; main()")
DAYS = 60
BATCH = 5000
CLIENTS = 200
UNUSED = 10**12  # above it no event has its number
MADE_AT_START = 4  # events of a first start: keys
NOTHING = {column.name: None for column in events.columns}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The audit log that is measured: its database, and a folder for keys, checkpoints and exports."""

    folder: Path
    url: str

    @property
    def where(self) -> Sequence[str]:
        """The options by which commands find it."""
        return ("--data", str(self.folder), *(() if self.url.startswith("sqlite") else ("--database", self.url)))

    @property
    def master_key(self) -> Path:
        """What opens its signing keys."""
        return self.folder / "master.key"

    @property
    def settings(self) -> Settings:
        """Those of an authority on it."""
        database = "" if self.url.startswith("sqlite") else self.url
        return load_settings(data=self.folder, database=database, master_key_file=self.master_key)

    @property
    def checkpoints(self) -> Path:
        """Where a server sends its checkpoints."""
        return self.folder / "checkpoints.txt"


def main(asked: argparse.Namespace) -> None:
    """Measure all of it, and print a line for each."""
    with TemporaryDirectory(prefix="authsec-audit-") as folder:
        place = Place(folder=Path(folder), url=asked.database or f"sqlite:///{folder}/authsec.sqlite3")
        place.master_key.touch(mode=0o600)
        place.master_key.write_bytes(base64.b64encode(secrets.token_bytes(32)))
        _told("a server starts on an empty audit log, until its first checkpoint", *_first_checkpoint(place))
        with open_authority(place.settings) as authority:
            if asked.leaves:
                _seal(authority, _leaves(asked.leaves))
            elif asked.at_once:
                _seal(authority, _fill(authority.database, asked.events))
            else:
                deque(_fill(authority.database, asked.events), maxlen=0)
                sealed = partial(_all_sealed, authority.database)
                _told(f"it seals {asked.events:,} events that are there", *_first_checkpoint(place, until=sealed))
        _told("a server starts, until it has read all leaves", *_first_checkpoint(place))
        if not asked.leaves:
            _commands(place, everything=not asked.only_verify)


def _commands(place: Place, *, everything: bool) -> None:
    keys, export = place.folder / "keys.json", place.folder / "journal.jsonl"
    _run(place, "audit keys", "audit", "keys", into=keys)
    _run(place, "audit verify", "audit", "verify", "--key", str(keys))
    if not everything:
        return
    _run(place, "audit export-sealed", "audit", "export-sealed", into=export)
    print(f"  the export has {export.stat().st_size:,} bytes")
    _run(place, "audit verify-export", "audit", "verify-export", str(export), "--key", str(keys), here=False)
    month = f"{datetime.now(UTC):%Y-%m}"
    drop = ("audit", "drop", "--before", month, "--export", str(export))
    _run(place, "audit drop --dry-run", *drop, "--dry-run")
    _run(place, "audit drop", *drop, "--yes")
    _run(place, "audit verify, after it", "audit", "verify", "--key", str(keys))
    _run(place, "audit verify --with EXPORT", "audit", "verify", "--key", str(keys), "--with", str(export))


def _run(place: Place, what: str, *words: str, into: Path | None = None, here: bool = True) -> None:
    """One command, to its end. Raises `SystemExit` where it fails."""
    said = into or place.folder / "said"
    with said.open("wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(
            [*AUTHSEC, *words, *(place.where if here else ())], stdout=output, env=_environment(place)
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # it has been waited for
    if process.returncode:
        raise SystemExit(f"{what} ended with {process.returncode}:\n{said.read_text()}")
    _told(what, time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024)


def _first_checkpoint(place: Place, until: Callable[[], bool] | None = None) -> tuple[float, float, int]:
    """Serve until a checkpoint was sent. Return the seconds, those of the processor, and the most megabytes."""
    place.checkpoints.unlink(missing_ok=True)
    with (place.folder / "serve.log").open("wb") as log:
        began = time.monotonic()
        serve = (*AUTHSEC, "serve", "--port", "0", "--audit-checkpoints", str(place.checkpoints), *place.where)
        process = subprocess.Popen(serve, stdout=log, stderr=log, env=_environment(place))
        while not place.checkpoints.exists() or not (until is None or until()):
            if process.poll() is not None:
                raise SystemExit((place.folder / "serve.log").read_text())
            time.sleep(0.05 if until is None else 1)
        took = time.monotonic() - began
        process.terminate()
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0  # it has been waited for
    return took, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024


def _environment(place: Place) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSEC")}
    settings = {"DRAIN_SECONDS": "0", "MASTER_KEY_FILE": str(place.master_key)}
    return inherited | {f"AUTHSEC_SERVER_{name}": value for name, value in settings.items()}


def _told(what: str, seconds: float, processor: float, megabytes: int) -> None:
    print(f"{what}: {seconds:.1f} s, {processor:.1f} s of processor time, {megabytes} MB at most", flush=True)


def _fill(database: Database, number: int) -> Iterator[list[store.Leaf]]:
    """Write the events, in batches, and yield the leaves of each batch. Then count them, as a server does."""
    now = datetime.now(UTC)
    start = now - timedelta(days=DAYS)
    database.append(lambda tx: prepare_months(tx.connection, start, ahead=DAYS // 28 + 2))
    rows = _rows(number, start, now - timedelta(minutes=20))
    while batch := list(islice(rows, BATCH)):
        numbers = database.append(partial(_write, rows=batch))
        yield [
            store.Leaf(position=each - 1, event_id=each, hash=event_hash({**NOTHING, **row, "id": each}))
            for each, row in zip(numbers, batch, strict=True)
        ]
    while not roll_up(database, now):
        pass
    if database.dialect == "postgresql":
        database.append(lambda tx: tx.connection.execute(text("ANALYZE")))  # as autovacuum would, a minute later


def _leaves(number: int) -> Iterator[list[store.Leaf]]:
    """Leaves of events that are not there."""
    for start in range(MADE_AT_START, number, BATCH):
        yield [
            store.Leaf(position=at, event_id=UNUSED + at, hash=hashlib.sha256(str(at).encode()).digest())
            for at in range(start, min(start + BATCH, number))
        ]


def _seal(authority: Authority, batches: Iterator[list[store.Leaf]]) -> None:
    """Append the leaves to the log, and sign its checkpoint."""
    database, key = authority.database, authority.dropper.sealer.key()
    tree = database.read(lambda tx: Tree().with_leaves(store.hashes(tx.connection, after=-1, limit=BATCH)))
    if tree.size != MADE_AT_START:
        raise SystemExit(f"A server seals {tree.size} events as it starts: MADE_AT_START is wrong.")
    for leaves in batches:
        database.append(partial(_append, leaves=leaves))
        tree = tree.with_leaves(leaf.hash for leaf in leaves)
    checkpoint = sign_checkpoint(
        tree,
        through=0,
        at=datetime.now(UTC),
        issuer=authority.issuer,
        key=key,
        authority_version=database.read(lambda tx: tx.version),
    )
    database.append(lambda tx: store.add_checkpoint(tx.connection, checkpoint))


def _append(tx: Tx, leaves: list[store.Leaf]) -> None:
    store.add_leaves(tx.connection, leaves)


def _write(tx: Tx, rows: list[dict[str, Any]]) -> range:
    """The numbers that they got; on SQLite one after the other, which is all that asks for them."""
    before = pages.highest(tx.connection)
    tx.connection.execute(
        insert(events), [with_mac({**row, "id": at}, tx.event_key) for at, row in enumerate(rows, start=before + 1)]
    )
    numbers = range(before + 1, before + 1 + len(rows))
    links = [
        {"delegation_id": delegation["id"], "event_id": number}
        for number, row in zip(numbers, rows, strict=True)
        for delegation in row["delegations"]
    ]
    tx.connection.execute(insert(event_delegations), links)
    number_ranges.add(
        tx.connection, number_ranges.ranges_of((row["at"], each) for each, row in zip(numbers, rows, strict=True))
    )
    return numbers


def _all_sealed(database: Database) -> bool:
    """Whether every event is sealed."""
    sealed, there = database.read(
        lambda tx: (
            store.size(tx.connection),
            tx.connection.execute(select(func.count()).select_from(events)).scalar_one(),
        )
    )
    return bool(sealed >= there)


def _rows(number: int, start: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    """Tokens that were issued, evenly over that time."""
    step = (end - start) / number
    for each in range(number):
        client, at = str(UUID(int=each % CLIENTS)), start + each * step
        yield {
            "at": at,
            "kind": "token.issued",
            "request_id": f"req_{each:024}",
            "client_id": client,
            "client_name": f"Agent {each % CLIENTS}",
            "delegations": [{"id": str(UUID(int=1000 + each % CLIENTS)), "name": f"agent-{each % CLIENTS}-support"}],
            "roles": [],  # with roles, `verify` looks for the row of the delegation or its creation
            "decision": "granted",
            "reason": "",
            "address": "192.0.2.7",
            "authority_version": 1,
            "jti": f"{each:032}",
            "kid": "a" * 43,
            "token_sha256": hashlib.sha256(str(each).encode()).hexdigest(),
            "expires_at": at + timedelta(minutes=15),
            "detail": {"actions": ["customers:read"], "audience": ["https://crm.example.com"], "proof": "key_pair"},
            "occurrences": 1,
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", nargs="?", default="", help="SQLAlchemy URL of an empty database")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--at-once", action="store_true")
    parser.add_argument("--leaves", type=int, default=0)
    parser.add_argument("--only-verify", action="store_true")
    main(parser.parse_args())
