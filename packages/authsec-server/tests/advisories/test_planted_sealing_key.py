"""Somebody plants a sealing key in the database, so that servers believe, and go on with, a log that they forged.

Where the sealing key is in a file, they may have stolen the master key as well: it authenticates no sealing key then.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from authsec.jose import PrivateKey
from authsec_server.audit import service as audit
from authsec_server.audit.merkle_tree import Tree
from authsec_server.audit.model import Event, EventKind
from authsec_server.audit.sealing.checkpoints import sign_checkpoint
from authsec_server.audit.sealing.sealer import LogBroken, Sealer
from authsec_server.audit.sealing.store import checkpoints
from authsec_server.audit.sealing.succession import sign_replacement
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.store import sealed_events
from authsec_server.db import Database, Tx
from authsec_server.failures import Conflict, StartupRefused, Unavailable
from authsec_server.keys import store
from authsec_server.keys.head_keys import HeadKeyRing
from authsec_server.keys.master_key import MasterKey, Purpose
from authsec_server.keys.sealing_key_file import KeyFile, SealingKey, sign_list
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.principal import LOCAL_OPERATOR, Act
from sqlalchemy import delete, insert, select, update

pytestmark = pytest.mark.sqlite_suffices

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ISSUER = "https://authsec.example.com"
MASTER = MasterKey(bytes(32))  # the thief has it


def file_of(key: PrivateKey) -> KeyFile:
    return KeyFile(path=Path("seal.pem"), private=key)


class Authority:
    """A database whose log is sealed with a key in a file."""

    def __init__(self, database: Database) -> None:
        self.database, self.own, self.now = database, PrivateKey.generate_ed25519(), NOW
        self.keys = self.server()
        self.keys.keep(NOW)
        for number in range(3):
            event = Event(at=NOW, kind=EventKind.ROLE_CREATED, request_id=f"req_{number:024}")
            database.append(partial(audit.record, event=event))
        self.sealer().seal()

    def server(self, key: PrivateKey | None = None) -> SealingKeys:
        return SealingKeys(self.database, MASTER, token_bytes=secrets.token_bytes, file=file_of(key or self.own))

    def sealer(self, keys: SealingKeys | None = None) -> Sealer:
        its = keys or self.keys
        return Sealer(self.database, issuer=ISSUER, signing_key=its.signing_key, keys=its.by_kid, now=lambda: self.now)

    def forge_checkpoint(self, key: PrivateKey) -> None:
        """Put a checkpoint of that key in place of the last one."""

        def forge(tx: Tx) -> None:
            rows = tx.connection.execute(select(sealed_events).order_by(sealed_events.c.position)).all()
            tree = Tree().with_leaves(bytes(row.hash) for row in rows)
            checkpoint = sign_checkpoint(tree, through=0, at=NOW + timedelta(minutes=1), issuer=ISSUER, key=key)
            tx.connection.execute(delete(checkpoints))
            tx.connection.execute(
                insert(checkpoints).values(size=checkpoint.size, at=checkpoint.at, signed=checkpoint.signed)
            )

        self.database.append(forge)


@pytest.fixture
def authority(database: Database) -> Authority:
    return Authority(database)


def plant_sealed(authority: Authority) -> PrivateKey:
    """A key that the stolen master key has sealed."""
    maker = HeadKeyRing(master_key=MASTER, purpose=Purpose.AUDIT_LOG, token_bytes=secrets.token_bytes)
    made = maker.make(NOW - timedelta(days=1))
    authority.database.append(lambda tx: store.add_head_key(tx.connection, store.sealing_keys, made))
    opened = maker.opened(made)
    assert opened is not None
    return opened.private


def plant_list(authority: Authority) -> PrivateKey:
    """A list that a key of their own has signed, under its own name."""
    key = PrivateKey.generate_ed25519()
    its = [SealingKey(public=key.public, created_at=NOW)]
    signed = sign_list(its, at=NOW, by=key)
    authority.database.append(
        lambda tx: store.set_sealing_key_list(tx.connection, key.public.thumbprint(), signed, NOW)
    )
    return key


@pytest.mark.parametrize("plant", [plant_sealed, plant_list])
def test_no_server_trusts_publishes_or_goes_on_with_it(
    authority: Authority, plant: Callable[[Authority], PrivateKey]
) -> None:
    key = plant(authority)
    for keys in (authority.keys, authority.server()):
        keys.check()
        keys.keep(NOW)
        assert set(keys.by_kid()) == {authority.own.public.thumbprint()}
        assert [each["kid"] for each in keys.published()] == [authority.own.public.thumbprint()]
        with pytest.raises(Unavailable):
            keys.signing_key(key.public.thumbprint())
    authority.forge_checkpoint(key)
    with pytest.raises(LogBroken, match="that was not given"):
        authority.sealer(authority.server()).seal()


def test_a_list_in_the_name_of_the_files_key_that_another_key_signed_is_refused(authority: Authority) -> None:
    key, kid = PrivateKey.generate_ed25519(), authority.own.public.thumbprint()
    its = [SealingKey(public=each.public, created_at=NOW) for each in (authority.own, key)]
    signed = sign_list(its, at=NOW, by=key)
    lists = store.sealing_key_lists
    authority.database.append(
        lambda tx: tx.connection.execute(update(lists).where(lists.c.kid == kid).values(signed=signed)) and None
    )
    server = authority.server()
    with pytest.raises(StartupRefused, match="is not the one that seals"):
        server.check()
    with pytest.raises(Unavailable):
        server.by_kid()
    server.keep(NOW)  # nothing is made anew in its place
    with pytest.raises(Unavailable):
        server.signing_key()


def test_without_its_list_a_log_that_has_begun_is_not_taken_over(authority: Authority) -> None:
    """Else who deletes the list, and plants a key under the stolen master key, would be believed."""
    plant_sealed(authority)
    authority.database.append(lambda tx: tx.connection.execute(delete(store.sealing_key_lists)) and None)
    with pytest.raises(StartupRefused, match="is not the one that seals"):
        authority.server().check()
    with pytest.raises(Unavailable):
        authority.server().by_kid()


def test_a_list_does_not_make_a_server_without_a_file_trust_its_key(authority: Authority) -> None:
    """Nor a key that the stolen master key has sealed."""
    plant_sealed(authority)
    server = SealingKeys(authority.database, MASTER, token_bytes=secrets.token_bytes)
    with pytest.raises(StartupRefused, match="sealed with a key in a file"):
        server.check()
    for ask in (server.by_kid, server.published, server.signing_key):
        with pytest.raises(Unavailable, match="sealed with a key in a file"):
            ask()


def test_a_planted_list_is_not_printed_where_no_file_proves_the_list(authority: Authority) -> None:
    """Not even for who asks on the server's machine: its key has signed no checkpoint."""
    plant_list(authority)
    server = SealingKeys(authority.database, MASTER, token_bytes=secrets.token_bytes)
    listed, is_proved = server.read_listed()
    assert ([each["kid"] for each in listed], is_proved) == ([authority.own.public.thumbprint()], False)
    authority.database.append(
        lambda tx: (
            tx.connection.execute(
                delete(store.sealing_key_lists).where(
                    store.sealing_key_lists.c.kid == authority.own.public.thumbprint()
                )
            )
            and None
        )
    )
    with pytest.raises(Unavailable, match="sealed with a key in a file"):
        server.read_listed()


def test_who_has_the_master_key_names_no_successor(authority: Authority) -> None:
    """A record that a planted key signed leads nowhere, sealed or not."""
    key, successor = plant_sealed(authority), PrivateKey.generate_ed25519()
    for by in (key, successor):
        record = sign_replacement(successor.public, at=NOW, issuer=ISSUER, key=by)
        event = Event(at=NOW, kind=EventKind.SEAL_KEY_REPLACED, request_id="", detail={"record": record})
        authority.database.append(partial(audit.record, event=event))
    authority.sealer().seal()
    assert set(authority.keys.by_kid()) == {authority.own.public.thumbprint()}
    assert authority.sealer().key().public.thumbprint() == authority.own.public.thumbprint()


def test_the_admin_api_cannot_move_the_key_back_into_the_database(authority: Authority) -> None:
    act = Act(principal=LOCAL_OPERATOR, now=NOW, request_id="", address="", token_bytes=secrets.token_bytes)
    with pytest.raises(Conflict, match="so its successor must be in a file"):
        authority.database.change(lambda tx: authority.keys.replace(tx, act, issuer=ISSUER))


@pytest.mark.parametrize("change", ["DELETE FROM sealing_key_lists", "UPDATE sealing_key_lists SET signed = 'x'"])
def test_a_running_server_seals_without_its_list_and_does_not_start_again(authority: Authority, change: str) -> None:
    """`docs/audit-verify.md` says so. A check reads the keys of `--key`, so no event is hidden."""
    sealer = authority.sealer()
    sealer.seal()
    authority.database.append(lambda tx: tx.connection.exec_driver_sql(change))
    event = Event(at=NOW, kind=EventKind.ROLE_CREATED, request_id="req_000000000000000000000004")
    authority.database.append(partial(audit.record, event=event))
    authority.now += timedelta(minutes=1)
    sealer.seal()
    keys = {authority.own.public.thumbprint(): authority.own.public}
    report = authority.database.read(lambda tx: verify_log(tx, keys, now=authority.now))
    assert (report.findings, report.not_yet) == ((), 0)
    with pytest.raises(Unavailable):
        authority.keys.published()
    with pytest.raises(StartupRefused):
        authority.server().check()
