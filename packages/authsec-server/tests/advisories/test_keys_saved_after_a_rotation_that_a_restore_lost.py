"""An officer saves the keys after a replacement of the sealing key, and a restore loses the replacement.

The restored log goes on with the old key, so `verify` with the saved file reports a replaced key. A thief of the old
key with a copy of the database looks the same, except for the restore that the log records. So the report names the
restore, and says what to do if it is genuine.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from audit_answers import LATER, fill
from authsec.jose import PublicKey
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.restores import Restore, sign_restore
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.service import record_act
from authsec_server.db import Database, open_database
from authsec_server.db.sqlite_files import copy_database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.principal import LOCAL_OPERATOR, Act

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
REPLACED, ADVICE = "is signed by a key that was replaced after", "save the keys again (authsec audit keys)"


class Server:
    """A server that seals, and the officer who verifies its log."""

    def __init__(self, database: Database, saved: tuple[dict[str, PublicKey], dict[str, int]] | None = None) -> None:
        self.database, self.now = database, LATER + timedelta(minutes=12)
        self.keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
        key, by_kid = self.keys.signing_key, self.keys.by_kid
        self.sealer = Sealer(database, issuer="https://a", signing_key=key, keys=by_kid, now=lambda: self.now)
        self.saved = saved or self.save_keys()

    @property
    def act(self) -> Act:
        return Act(principal=LOCAL_OPERATOR, now=self.now, request_id="", address="", token_bytes=secrets.token_bytes)

    def seal(self) -> None:
        self.now += timedelta(seconds=1)
        while self.sealer.seal():
            pass

    def save_keys(self) -> tuple[dict[str, PublicKey], dict[str, int]]:
        """Save the keys, as `authsec audit keys` prints them."""
        published = self.keys.published()
        keys = {each["kid"]: PublicKey.from_jwk(each) for each in published}
        return keys, {each["kid"]: each["checkpoints_up_to"] for each in published if "checkpoints_up_to" in each}

    def replace_key(self) -> str:
        kid, _ = self.database.change(lambda tx: self.keys.replace(tx, self.act, issuer="https://a"))
        self.seal()
        return kid

    def record_restore(self, lost_key: str) -> None:
        size = self.database.read(lambda tx: store.size(tx.connection))
        restore = Restore(
            at=self.now,
            authority_version=1_000_000,
            size=size,
            checkpoints_until=self.now,
            unknown_keys=(lost_key,),
        )
        detail = {"record": sign_restore(restore, issuer="https://a", key=self.keys.signing_key())}
        self.database.change(lambda tx: record_act(tx, self.act, EventKind.AUTHORITY_RESTORED, detail=detail))
        self.seal()

    def go_on(self) -> None:
        for _ in range(3):
            self.database.change(lambda tx: record_act(tx, self.act, EventKind.ADMIN_KEY_CREATED, detail={}))
            self.seal()

    def findings(self) -> str:
        """Return what the officer finds about the keys. The planted restore is no change of tables."""
        keys, ends = self.saved
        report = self.database.read(lambda tx: verify_log(tx, keys, ends=ends, now=self.now, counts=False))
        return "\n".join(each for each in report.findings if "key" in each and "checkpoint" in each)


@contextmanager
def restored(database: Database, database_url: str, tmp_path: Path) -> Iterator[tuple[Server, str]]:
    """Yield a server with a backup from before the replacement of the key, and the `kid` of the lost key."""
    fill(database)
    old = Server(database)
    old.seal()
    copy_database(Path(database_url.removeprefix("sqlite:///")), tmp_path / "backup")
    lost_key = old.replace_key()
    old.saved = old.save_keys()
    assert old.findings() == ""
    with closing(open_database(f"sqlite:///{tmp_path / 'backup'}")) as backup:
        new = Server(backup, saved=old.saved)
        new.now = old.now + timedelta(minutes=1)
        yield new, lost_key


def test_the_report_names_the_restore_and_keys_that_are_saved_again_verify(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    with restored(database, database_url, tmp_path) as (server, lost_key):
        server.record_restore(lost_key)
        server.go_on()
        assert REPLACED in server.findings()
        assert ADVICE in server.findings()
        server.replace_key()
        server.go_on()
        server.saved = server.save_keys()
        assert server.findings() == ""


def test_the_report_of_a_log_without_a_restore_has_no_such_advice(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    with restored(database, database_url, tmp_path) as (server, _):
        server.go_on()
        assert REPLACED in server.findings()
        assert ADVICE not in server.findings()
