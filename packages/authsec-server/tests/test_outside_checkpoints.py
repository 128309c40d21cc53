"""The database is compared with checkpoints that were kept outside: an older one is found, and nothing else."""

from __future__ import annotations

import json
import os
import secrets
import time
from base64 import urlsafe_b64decode
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from authsec.jose import PrivateKey
from authsec_server.audit import service as audit
from authsec_server.audit.merkle_tree import Tree
from authsec_server.audit.model import Event, EventKind
from authsec_server.audit.sealing import checkpoint_file, outside, store
from authsec_server.audit.sealing.checkpoints import read_checkpoint, sign_checkpoint, when
from authsec_server.audit.sealing.outside import Comparison, comparison_of
from authsec_server.audit.sealing.restore_loss import Loss, find_loss
from authsec_server.audit.sealing.restores import Restore, sign_restore
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.db import Database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.principal import LOCAL_OPERATOR, Act
from sqlalchemy import text

pytestmark = pytest.mark.sqlite_suffices

NOW = datetime.fromisoformat("2026-11-25T12:00:00+00:00")
ISSUER = "https://authsec.example.com"
KIDS = ["A" * 43, "B" * 43]


class Kept:
    """An audit log whose checkpoints go to a file, with a clock of its own."""

    def __init__(self, database: Database, path: Path) -> None:
        self.database = database
        self.path = path
        self.now = NOW
        self.keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
        self.keys.keep(NOW)
        self.sealer = Sealer(
            database,
            issuer=ISSUER,
            signing_key=self.keys.signing_key,
            keys=self.keys.by_kid,
            now=lambda: self.now,
            give=lambda checkpoint: self.append(checkpoint.signed),
            token_keys=lambda _: KIDS,
        )

    def append(self, line: str) -> None:
        with self.path.open("a") as file:
            file.write(f"{line}\n")

    def go_on(self, changes: int = 1, *, kind: EventKind = EventKind.ROLE_CREATED, **detail: object) -> None:
        """So many changes of authority, each with an event, sealed a minute later than the last."""
        for _ in range(changes):
            self.database.change(
                lambda tx: audit.record(
                    tx,
                    Event(
                        at=self.now,
                        kind=kind,
                        request_id="req_00000000000000000000test",
                        authority_version=tx.version,
                        detail=dict(detail),
                    ),
                )
            )
        self.now += timedelta(minutes=1)
        while self.sealer.seal():
            pass

    def put_back(self, size: int, version: int) -> None:
        """What a backup of that time holds, for a server that starts then."""

        def delete(tx: object) -> None:
            run = tx.connection.execute  # type: ignore[attr-defined] # a Tx
            run(text("DELETE FROM events WHERE id IN (SELECT event_id FROM sealed_events WHERE position >= :size)"), at)
            run(text("DELETE FROM sealed_events WHERE position >= :size"), at)
            run(text("DELETE FROM checkpoints WHERE size > :size"), at)
            run(text("UPDATE authority SET version = :version"), {"version": version})

        at = {"size": size}
        self.database.append(delete)
        self.database._seen = 0  # a server that has just started has seen no authority version
        self.sealer.reset()

    def size(self) -> int:
        return self.database.read(lambda tx: store.size(tx.connection))

    def version(self) -> int:
        return self.database.read(lambda tx: tx.version)

    def comparison(self) -> Comparison:
        found = comparison_of(str(self.path), self.database)
        found.keys, found.issuer = self.keys.by_kid, ISSUER
        found.read_file()
        return found

    def problem(self) -> str | None:
        return self.comparison().compare()

    def record_restore(self, **changes: object) -> None:
        self.go_on(kind=EventKind.AUTHORITY_RESTORED, record=self.restore_record(**changes))

    def restore_record(self, **changes: object) -> str:
        restore = {"at": self.now, "authority_version": 1_000_000, "size": 0, "checkpoints_until": self.now} | changes
        return sign_restore(Restore(**restore), issuer=ISSUER, key=self.keys.signing_key())  # type: ignore[arg-type] # mixed


@pytest.fixture
def kept(database: Database, tmp_path: Path) -> Kept:
    """Three changes, sealed, once per kind of database."""
    its = Kept(database, tmp_path / "checkpoints")
    its.go_on(3)
    return its


def test_a_checkpoint_says_under_which_version_and_with_which_keys_the_authority_was(kept: Kept) -> None:
    checkpoint = read_checkpoint(kept.path.read_text().splitlines()[-1], kept.keys.by_kid())
    assert (checkpoint.authority_version, list(checkpoint.signing_keys)) == (kept.version(), KIDS)
    key = kept.keys.signing_key()
    older = sign_checkpoint(Tree(), through=0, at=NOW, issuer=ISSUER, key=key)
    assert (older.authority_version, older.signing_keys) == (None, ())
    assert "authority_version" not in json.loads(urlsafe_b64decode(older.signed.split(".")[1] + "=="))
    assert read_checkpoint(older.signed, kept.keys.by_kid()) == older


def test_a_database_that_goes_on_is_no_older_than_its_checkpoints(kept: Kept) -> None:
    assert kept.problem() is None
    comparison = kept.comparison()  # another server appends meanwhile: the database is read second
    kept.go_on(2)
    assert comparison.compare() is None
    kept.append("eyJ.torn")
    kept.append(kept.path.read_text().splitlines()[0][:100])
    kept.append("")
    assert kept.problem() is None
    kept.path.unlink()
    assert kept.problem() is None
    assert kept.comparison().not_compared == ""


def test_an_older_database_is_found_by_its_events_and_by_its_version(kept: Kept) -> None:
    size, version = kept.size(), kept.version()
    kept.go_on(2)
    after, later = kept.size(), kept.version()
    kept.put_back(after, version)  # the log alone was kept
    assert f"authority version {later}" in (kept.problem() or "")
    kept.put_back(size, later)
    assert f"covers {after} events, but the database has only {size} sealed events" in (kept.problem() or "")
    kept.put_back(size, version)
    assert "older than a checkpoint that it signed at 2026-11-25 12:02:00 UTC" in (kept.problem() or "")


@pytest.mark.parametrize("leaves_at_once", [1, 10_000])
def test_a_database_with_another_history_is_found(
    kept: Kept, leaves_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside, "LEAVES_AT_ONCE", leaves_at_once)
    size, version = kept.size(), kept.version()
    kept.go_on(1)
    lost = kept.path.read_text()
    kept.put_back(size, version)
    kept.go_on(1)
    kept.path.write_text(lost)  # who served it meanwhile had no file
    assert "did not sign the checkpoint of 2026-11-25 12:02:00 UTC" in (kept.problem() or "")
    kept.go_on(3)
    kept.path.write_text(lost)
    assert "did not sign the checkpoint of" in (kept.problem() or "")


def test_the_newest_of_equally_large_checkpoints_is_named_wherever_its_line_is(kept: Kept) -> None:
    """As `verify` does: lines of two files or of two servers are in no order."""
    size, version = kept.size(), kept.version()
    kept.go_on(1)
    lines = kept.path.read_text().splitlines()
    kept.sealer.reset()
    kept.now += timedelta(minutes=5)
    while kept.sealer.seal():
        pass
    last = kept.path.read_text().splitlines()[len(lines) :]
    assert last, "a checkpoint without a new event"
    kept.path.write_text("\n".join([*last, *lines, ""]))
    kept.put_back(size, version)
    newest = read_checkpoint(last[-1], kept.keys.by_kid())
    assert f"signed at {when(newest)}: the checkpoint covers" in (kept.problem() or "")
    assert find_loss([*last, *lines], kept.keys.by_kid()).newest == newest


def test_of_another_history_the_first_checkpoint_that_differs_is_named(kept: Kept) -> None:
    """Also where the database has no checkpoint of that size, as `verify` does."""
    size, version = kept.size(), kept.version()
    kept.go_on(1)
    kept.go_on(1)
    lost = kept.path.read_text()
    kept.put_back(size, version)
    kept.go_on(1)
    kept.go_on(1)
    kept.path.write_text(lost)
    kept.database.append(
        lambda tx: tx.connection.execute(text("DELETE FROM checkpoints WHERE size = :size"), {"size": size + 1})
    )
    assert f"first {size + 1} events are different" in (kept.problem() or "")


def test_the_leaves_are_read_where_no_checkpoint_of_that_size_is_stored(kept: Kept) -> None:
    """Of each minute the last checkpoint stays in the database: that of a killed server may be gone from it."""
    checkpoint = kept.path.read_text()
    kept.go_on(2)
    kept.path.write_text(checkpoint)
    newest = kept.size()
    kept.database.append(lambda tx: tx.connection.execute(text(f"DELETE FROM checkpoints WHERE size < {newest}")))
    assert kept.problem() is None
    other = sign_checkpoint(
        Tree().with_leaves([bytes(32)] * 4), through=4, at=NOW, issuer=ISSUER, key=kept.keys.signing_key()
    )
    kept.path.write_text(f"{other.signed}\n")
    assert "first 4 events are different" in (kept.problem() or "")


def test_a_database_without_the_key_of_its_checkpoints_is_found(kept: Kept) -> None:
    """It is older than the key that replaced its own; or it is empty, since a disk is not mounted."""
    kept.database.append(lambda tx: tx.connection.execute(text("DELETE FROM sealing_keys")))
    assert "which this database does not have" in (kept.problem() or "")
    unknown = outside.outside_checkpoints(kept.path.read_text().splitlines(), {}, ISSUER).unknown
    kept.keys = SealingKeys(kept.database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    kept.keys.keep(NOW)
    kept.database.append(lambda tx: tx.connection.execute(text("DELETE FROM sealed_events")))
    kept.database.append(lambda tx: tx.connection.execute(text("DELETE FROM checkpoints")))
    assert "which this database does not have" in (kept.problem() or "")
    record = kept.restore_record(unknown_keys=tuple(unknown))
    act = Act(principal=LOCAL_OPERATOR, now=NOW, request_id="", address="", token_bytes=secrets.token_bytes)
    kept.database.change(lambda tx: audit.record_act(tx, act, EventKind.AUTHORITY_RESTORED, detail={"record": record}))
    assert kept.problem() is None


def test_checkpoints_of_another_authority_count_for_nothing(kept: Kept) -> None:
    key = PrivateKey.generate_ed25519()
    tree = Tree().with_leaves([bytes(32)] * 99)
    foreign = sign_checkpoint(tree, through=99, at=NOW, issuer="https://other.example", key=key)
    kept.append(foreign.signed)
    assert kept.problem() is None
    whole = kept.path.read_text().splitlines()[0]
    checkpoint, claims, signature = whole.split(".")
    kept.append(f"{checkpoint}.{claims}.{signature[::-1]}")  # one that nobody signed
    assert kept.problem() is None


def test_a_recorded_restore_excuses_what_came_before_it_and_nothing_after(kept: Kept) -> None:
    size, version = kept.size(), kept.version()
    kept.go_on(2)
    kept.put_back(size, version)
    assert kept.problem() is not None
    kept.record_restore()
    assert kept.problem() is None
    kept.go_on(2)
    again, later = kept.size(), kept.version()
    kept.go_on(2)
    assert kept.problem() is None
    kept.put_back(again, later)  # the record is in this backup as well
    assert "older than a checkpoint" in (kept.problem() or "")


def test_no_server_waits_for_a_file_that_hangs_and_a_pipe_is_none(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    kept.path = tmp_path / "pipe"
    assert "cannot be read" in kept.comparison().not_compared
    monkeypatch.setattr(checkpoint_file, "READ_SECONDS", 0.05)
    monkeypatch.setattr(checkpoint_file, "last_lines", lambda *_: time.sleep(1))
    assert "did not answer" in kept.comparison().not_compared
    to_address = comparison_of("https://checkpoints.example.com/authsec", kept.database)
    to_address.read_file()
    assert "are sent to an address" in to_address.not_compared


def test_the_end_of_a_long_file_is_read_and_lines_of_others_hide_nothing(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, version = kept.size(), kept.version()
    kept.go_on(2)
    newest = kept.path.read_text().splitlines()[-1]
    kept.path.write_text("x" * 999 + "\n" + f"{kept.path.read_text().splitlines()[0]}\n" * 500 + f"{newest}\n")
    monkeypatch.setattr(checkpoint_file, "TAIL_BYTES", 5000)
    found = checkpoint_file.read_lines(kept.path)
    assert found.cut
    assert len(found.lines) < 20
    assert kept.problem() is None
    for _ in range(30):
        kept.append("y" * 500)
    kept.put_back(size, version)
    assert "older than a checkpoint" in (kept.problem() or "")


def test_what_a_restore_must_know_of_the_lost_time_is_in_the_checkpoints(kept: Kept) -> None:
    kept.go_on(2)
    lines = kept.path.read_text().splitlines()
    lost = find_loss(lines, kept.keys.by_kid())
    assert lost.newest is not None
    assert (lost.newest.size, lost.authority_version) == (kept.size(), kept.version())
    assert lost.signing_keys == frozenset(KIDS)
    assert lost.until == lost.newest.at
    forged = lines[-1].split(".")
    nothing = find_loss([f"{forged[0]}.{forged[1]}.{forged[2][::-1]}"], kept.keys.by_kid())
    assert nothing == Loss()
    unknown = find_loss(lines, {})
    assert (unknown.newest, unknown.signing_keys) == (None, frozenset(KIDS))
    assert len(unknown.unknown_keys) == 1
