"""A restore that nobody recorded.

Somebody who administers the database puts an older one in its place, where an agent is enabled again, and writes what
a recorded restore leaves behind: its event. The server would then serve the older database as if the operator had
restored it, and issue tokens to agents that were disabled since.

Only the sealing key signs such a record, which the database holds sealed under the master key; and a record that is
genuine excuses the checkpoints up to its time, not those that were signed since.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from authsec.jose import PrivateKey
from authsec_server.audit import service as audit
from authsec_server.audit.merkle_tree import Tree
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing.checkpoints import sign_checkpoint
from authsec_server.audit.sealing.outside import Comparison, comparison_of
from authsec_server.audit.sealing.restores import Restore, sign_restore
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.db import Database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.principal import LOCAL_OPERATOR, Act

NOW = datetime.fromisoformat("2026-11-25T12:00:00+00:00")
ISSUER = "https://authsec.example.com"
RESTORE = Restore(at=NOW, authority_version=2_000_000, size=0, checkpoints_until=NOW)


@pytest.fixture
def keys(database: Database) -> SealingKeys:
    """The sealing key of a database that has lost every event."""
    its = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    its.keep(NOW)
    return its


def comparison(database: Database, keys: SealingKeys, tmp_path: Path, at: datetime) -> Comparison:
    """With a checkpoint of nine events that was signed at that time."""
    tree = Tree().with_leaves([bytes(32)] * 9)
    checkpoint = sign_checkpoint(tree, through=9, at=at, issuer=ISSUER, key=keys.signing_key(), authority_version=9)
    (tmp_path / "checkpoints").write_text(f"{checkpoint.signed}\n")
    found = comparison_of(str(tmp_path / "checkpoints"), database)
    found.keys, found.issuer = keys.by_kid, ISSUER
    found.read_file()
    return found


def write(database: Database, record: object) -> None:
    act = Act(principal=LOCAL_OPERATOR, now=NOW, request_id="", address="", token_bytes=secrets.token_bytes)
    detail = {"record": record}
    database.change(lambda tx: audit.record_act(tx, act, EventKind.AUTHORITY_RESTORED, detail=detail))


def test_a_record_that_another_key_signed_excuses_nothing(
    database: Database, keys: SealingKeys, tmp_path: Path
) -> None:
    thief = PrivateKey.generate_ed25519()
    checkpoint = sign_checkpoint(Tree(), through=0, at=NOW, issuer=ISSUER, key=keys.signing_key()).signed
    for record in (sign_restore(RESTORE, issuer=ISSUER, key=thief), checkpoint, "", None, {"at": "now"}):
        write(database, record)
    assert comparison(database, keys, tmp_path, NOW).compare() is not None
    write(database, sign_restore(RESTORE, issuer=ISSUER, key=keys.signing_key()))
    assert comparison(database, keys, tmp_path, NOW).compare() is None


def test_a_genuine_record_does_not_excuse_what_was_signed_since(
    database: Database, keys: SealingKeys, tmp_path: Path
) -> None:
    record = sign_restore(RESTORE, issuer=ISSUER, key=keys.signing_key())
    write(database, record)
    later = comparison(database, keys, tmp_path, NOW + timedelta(seconds=1))
    assert "older than a checkpoint that it signed" in (later.compare() or "")


def test_a_replaced_sealing_key_records_no_restore(database: Database, keys: SealingKeys, tmp_path: Path) -> None:
    """Whoever found the old key later signs with it, and cannot have it sealed as if it had been earlier."""
    act = Act(principal=LOCAL_OPERATOR, now=NOW, request_id="", address="", token_bytes=secrets.token_bytes)
    old = keys.signing_key()
    sealer = Sealer(database, issuer=ISSUER, signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: NOW)
    sealer.seal()
    database.change(lambda tx: keys.replace(tx, act, issuer=ISSUER))
    while sealer.seal():
        pass
    write(database, sign_restore(replace(RESTORE, checkpoints_until=NOW + timedelta(days=9)), issuer=ISSUER, key=old))
    tree = Tree().with_leaves([bytes(32)] * 99)
    new = keys.signing_key(sealer.key().public.thumbprint())
    checkpoint = sign_checkpoint(tree, through=99, at=NOW, issuer=ISSUER, key=new)
    (tmp_path / "checkpoints").write_text(f"{checkpoint.signed}\n")
    found = comparison_of(str(tmp_path / "checkpoints"), database)
    found.keys, found.issuer = keys.by_kid, ISSUER
    found.read_file()
    assert "older than a checkpoint" in (found.compare() or "")
