"""Months are dropped, the database is put back to an older backup, and months are dropped again.

Operators keep each export. One from before the restore has events that the database lost; in their places are others.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from authsec.jose import PrivateKey
from authsec_server.audit.merkle_tree import Tree
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import sign_checkpoint
from authsec_server.audit.sealing.exporting import export, verify_export
from authsec_server.audit.sealing.given import KeptExport
from authsec_server.audit.sealing.lines import checkpoint_line
from authsec_server.audit.sealing.restore_loss import find_loss
from authsec_server.audit.sealing.restores import Restore, sign_restore
from authsec_server.audit.sealing.retention import Dropper
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.service import record_act
from authsec_server.db import Database, open_database
from authsec_server.db.sqlite_files import copy_database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from long_runs import some_of

sys.path.insert(0, str(Path(__file__).parent / "advisories"))
from test_audit_log_dropped_unseen import AUGUST, Old

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # files are compared, by no SQL
DECEMBER = AUGUST.replace(month=12)


class Restored(Old):
    """The database of a backup, after another one went on from there and exported what it had."""

    def __init__(self, backup: Path, old: Old) -> None:  # the events are there
        self.database = open_database(f"sqlite:///{backup}")
        self.now, self.key, self.keys, self.kept = old.now, old.key, old.keys, None
        self.size = self.database.read(lambda tx: store.size(tx.connection))
        keys = SealingKeys(self.database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
        self.sealer = Sealer(
            self.database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: self.now
        )
        self.dropper = Dropper(database=self.database, sealer=self.sealer, issuer="https://a", keys=keys.by_kid)

    def restore(self, *, minutes: int = 0, unknown_keys: tuple[str, ...] = ()) -> None:
        """Record it, with checkpoints up to so many minutes from now."""
        until = self.now + timedelta(minutes=minutes)
        its = Restore(
            at=self.now, authority_version=100, size=self.size, checkpoints_until=until, unknown_keys=unknown_keys
        )
        detail = {"record": sign_restore(its, issuer="https://a", key=self.key)}
        self.database.change(lambda tx: record_act(tx, self.act(), EventKind.AUTHORITY_RESTORED, detail=detail))

    def go_on(self) -> list[list[str]]:
        """Drop two times, each after an export. These exports."""
        files = []
        for cut in (AUGUST, DECEMBER):
            self.now = max(self.now + timedelta(minutes=1), cut)
            for number in range(6):
                self.record(self.now + timedelta(seconds=number))
            self.settle()
            self.now += timedelta(days=1)
            self.settle()
            files.append(list(export(self.database)))
            self.drop(files[-1], before=cut)
            self.settle()
        return files

    def found(self, *files: list[str]) -> str:
        return "\n".join(self.report(*files).findings)


@pytest.fixture
def old(database: Database) -> Old:
    return Old(database)


@pytest.fixture
def restored(old: Old, database_url: str, tmp_path: Path) -> Iterator[Restored]:
    """`old` goes on after the backup, exports, and drops."""
    backup = tmp_path / "backup"
    copy_database(Path(database_url.removeprefix("sqlite:///")), backup)
    for number in range(5):
        old.record(old.now + timedelta(seconds=number))
    old.settle()
    old.lines = list(export(old.database))
    old.drop()
    old.settle()
    its = Restored(backup, old)
    with closing(its.database):
        yield its


def test_all_exports_that_were_kept_are_given_and_nothing_is_found(old: Old, restored: Restored) -> None:
    restored.restore()
    files = restored.go_on()
    report = restored.report(old.lines, *files)
    assert (report.findings, report.not_checkable) == ((), 0)
    given = [KeptExport(str(number), lines) for number, lines in enumerate([old.lines, *files])]
    exported = verify_export(list(export(restored.database)), restored.keys, given=given)
    assert (exported.findings, exported.not_checkable) == ((), 0)


def test_a_restore_that_nobody_recorded_excuses_no_export(old: Old, restored: Restored) -> None:
    files = restored.go_on()
    assert "in old.jsonl differs from its seal" in restored.found(old.lines, *files)


def test_a_restore_excuses_no_export_with_a_later_checkpoint(old: Old, restored: Restored) -> None:
    """Else whoever wrote the log anew would only need an older record of a restore."""
    restored.restore(minutes=-30)
    files = restored.go_on()
    assert "in old.jsonl differs from its seal" in restored.found(old.lines, *files)


LATER_CHECKPOINT = "pass the last checkpoint of each export: authsec admin restored --checkpoint FILE."


@pytest.mark.soak  # the other exports from before a restore are in every run
@pytest.mark.parametrize("is_checkpoint_given", some_of([False, True]))
def test_a_server_whose_clock_was_ahead_signed_the_last_checkpoint_of_an_export(
    old: Old, restored: Restored, is_checkpoint_given: bool
) -> None:
    """Its last checkpoint is newer than the record of the restore, unless the record is made with that checkpoint."""
    checkpoint = json.loads(old.lines[-1])["checkpoint"]
    last = find_loss([checkpoint] if is_checkpoint_given else [], old.keys).until
    restored.now -= timedelta(hours=3)
    restored.restore(minutes=round((last - restored.now).total_seconds() / 60) if last else 0)
    restored.now += timedelta(hours=3)
    found = restored.found(old.lines, *restored.go_on())
    assert found.count(LATER_CHECKPOINT) == (0 if is_checkpoint_given else 1), (
        "once for a file, however many events it has"
    )
    assert (found == "") is is_checkpoint_given


@pytest.mark.soak
def test_without_a_restore_no_finding_speaks_of_one(old: Old, restored: Restored) -> None:
    files = restored.go_on()
    assert LATER_CHECKPOINT not in restored.found(old.lines, *files)


@pytest.mark.soak
@pytest.mark.parametrize("place", some_of([3, 15]))
def test_an_export_is_compared_up_to_the_backup_and_later_ones_whole(old: Old, restored: Restored, place: int) -> None:
    restored.restore()
    first, second = restored.go_on()
    changed = first if place > restored.size else old.lines
    at = next(at for at, line in enumerate(changed) if f'"place":{place}}}' in line)
    changed[at] = changed[at].replace('"req_', '"req-')
    assert f"Event {place + 1} in old.jsonl differs from its seal." in restored.found(old.lines, first, second)


@pytest.mark.soak
def test_an_export_without_a_last_checkpoint_of_ours_is_not_excused(old: Old, restored: Restored) -> None:
    restored.restore()
    files = restored.go_on()
    other = sign_checkpoint(Tree(), through=0, at=old.now, issuer="https://a", key=PrivateKey.generate_ed25519())
    for end in ([], [checkpoint_line(other.signed)]):
        assert "in old.jsonl differs from its seal" in restored.found([*old.lines[:-1], *end], *files)


@pytest.mark.soak  # the other exports from before a restore are in every run
def test_a_sealing_key_that_the_backup_did_not_have_has_signed_the_export(old: Old, restored: Restored) -> None:
    lost = PrivateKey.generate_ed25519()
    checkpoint = sign_checkpoint(Tree(), through=0, at=old.now, issuer="https://a", key=lost)
    restored.restore(unknown_keys=(lost.public.thumbprint(),))
    files = restored.go_on()
    assert restored.found([*old.lines, checkpoint_line(checkpoint.signed)], *files) == ""
