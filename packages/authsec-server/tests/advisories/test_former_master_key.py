"""Somebody has the former master key, and writes to the database after the key was changed.

The former key decrypts nothing there, and an event with a MAC by the former key gets no seal and is found. An append
that began before the change does not lose its event.
"""

from __future__ import annotations

import base64
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.accounts import second_factor_store
from authsec_server.audit import service as audit
from authsec_server.audit.event_macs import event_mac, has_mac
from authsec_server.audit.model import Event, EventKind
from authsec_server.audit.sealing.verifying import verify
from authsec_server.audit.store import events, sealed_events
from authsec_server.db import Tx
from authsec_server.db.schema import authority
from authsec_server.failures import Unavailable
from authsec_server.keys import store
from authsec_server.keys.master_key import MasterKey, Purpose
from authsec_server.keys.master_key_change import MasterKeyChange, SealedSecrets
from authsec_server.principal import LOCAL_OPERATOR, THE_SERVER, Act
from sqlalchemy import func, insert, select, update

Build = Callable[..., Any]


@pytest.fixture
def changed(house_on_each: Build, tmp_path: Path) -> tuple[Any, MasterKey]:
    """A server with the new key, and the former key. An event with a token has its seal."""
    its = house_on_each(local_operator=True)
    if its.authority.database.dialect == "postgresql":  # a server seals by PostgreSQL's clock as well
        its.clock.at = datetime.now(UTC)
    client = its.delegated_name("Helper")
    assert its.door().get(f"/authsec/uflow/sdk/delegation-token?client_id={client}").status_code == 200
    former = changing(its, tmp_path).old
    changing(its, tmp_path).in_place(act(its), tmp_path / "master.key")
    now = its.clock.at
    its = house_on_each(local_operator=True)
    its.clock.at = now
    return its, former


def changing(its: Any, folder: Path) -> MasterKeyChange:
    return MasterKeyChange(
        database=its.authority.database,
        old=MasterKey(base64.b64decode((folder / "master.key").read_bytes())),
        secrets=SealedSecrets(Purpose.SECOND_FACTOR, second_factor_store.all_sealed, second_factor_store.set_sealed),
        token_bytes=secrets.token_bytes,
        verification_keys=its.authority.dropper.keys,
    )


def act(its: Any) -> Act:
    return Act(principal=LOCAL_OPERATOR, now=its.clock.at, request_id="", address="", token_bytes=secrets.token_bytes)


def settled(its: Any) -> set[int]:
    if its.authority.database.dialect == "sqlite":
        its.clock.at += timedelta(minutes=1)
    while its.authority.dropper.sealer.seal():
        pass
    return set(
        its.authority.database.read(lambda tx: tx.connection.execute(select(sealed_events.c.event_id)).scalars())
    )


def findings(its: Any) -> str:
    keys = its.authority.dropper.keys()
    report = its.authority.database.check(lambda tx: verify(tx, keys, now=its.clock.at))
    return "\n".join(report.findings)


@pytest.mark.sqlite_suffices
def test_an_event_with_a_mac_by_the_former_key_gets_no_seal_and_is_found(changed: tuple[Any, MasterKey]) -> None:
    its, former = changed

    def plant(tx: Tx) -> int:
        row = tx.connection.execute(select(events).where(events.c.kind == "token.issued")).one()._asdict()
        number = int(tx.connection.execute(select(func.max(events.c.id))).scalar_one()) + 1
        row |= {"id": number, "jti": "f" * 32, "request_id": f"req_{7:024}", "mac": None}
        tx.connection.execute(insert(events).values(row | {"mac": event_mac(former.event_key(), row)}))
        return number

    number = its.authority.database.append(plant)
    assert number not in settled(its)
    assert f"{number}" in findings(its)


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("text", ["", pytest.param("0" * 32, marks=pytest.mark.soak)])
def test_an_id_of_the_master_key_that_raw_sql_wrote_is_found(changed: tuple[Any, MasterKey], text: str) -> None:
    its, _ = changed
    settled(its)
    assert findings(its) == ""
    keys = its.authority.dropper.keys()
    its.authority.database.append(lambda tx: tx.connection.execute(update(authority).values(master_key_id=text)))
    report = its.authority.database.check(lambda tx: verify(tx, keys, now=its.clock.at))
    assert "authority.master_key_id" in "\n".join(report.findings)


def test_an_append_that_began_before_the_change_keeps_its_event(house_on_each: Build, tmp_path: Path) -> None:
    """On PostgreSQL the change waits for the append, and on SQLite both have one writer."""
    its, other = house_on_each(local_operator=True), house_on_each(local_operator=True)
    for each in (its, other):
        each.clock.at = datetime.now(UTC)
    begun, go_on = threading.Event(), threading.Event()
    event = Event(at=its.clock.at, kind=EventKind.FEED_KEY_CREATED, request_id="", principal=THE_SERVER, kid="k")

    def slow(tx: Tx) -> int:
        begun.set()
        go_on.wait(5)
        return audit.record(tx, event)

    numbers: list[int] = []
    appending = threading.Thread(target=lambda: numbers.append(other.authority.database.append(slow)))
    appending.start()
    assert begun.wait(5)
    path = tmp_path / "master.key"
    ending = threading.Thread(target=lambda: changing(its, tmp_path).in_place(act(its), path))
    ending.start()
    ending.join(0.3)
    assert ending.is_alive(), "the change waits"
    go_on.set()
    for each in (appending, ending):
        each.join(10)
        assert not each.is_alive()
    key = its.authority.database.event_key
    (number,) = numbers
    row = its.authority.database.read(
        lambda tx: tx.connection.execute(select(events).where(events.c.id == number)).one()
    )
    assert has_mac(key, row._asdict())
    with pytest.raises(Unavailable, match="was changed"):
        other.authority.database.append(slow)


@pytest.mark.sqlite_suffices
def test_a_trigger_that_keeps_the_former_ciphertext(house_on_each: Build, tmp_path: Path) -> None:
    """The commit would lose the key of the feed: neither file would open it."""
    its, path = house_on_each(local_operator=True), tmp_path / "master.key"
    trigger = (
        "CREATE TRIGGER keep AFTER UPDATE ON feed_keys BEGIN UPDATE feed_keys SET sealed_private = old.sealed_private "
        "WHERE kid = old.kid; END"
    )
    if its.authority.database.dialect == "postgresql":
        trigger = (
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.sealed_private = "
            "old.sealed_private; RETURN new; END'; CREATE TRIGGER keep BEFORE UPDATE ON feed_keys "
            "FOR EACH ROW EXECUTE FUNCTION keep()"
        )
    its.authority.database.append(lambda tx: tx.connection.exec_driver_sql(trigger))
    before = path.read_bytes()
    with pytest.raises(Unavailable, match="was not written as it was to be"):
        changing(its, tmp_path).in_place(act(its), path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir() if ".next-" in each.name] == []


@pytest.mark.soak  # depends on SQLite only
def test_no_former_ciphertext_stays_in_the_closed_file(house: Build, tmp_path: Path) -> None:
    """SQLite keeps what an update replaced in the free space of its pages, unless it is told to overwrite it."""
    its, path = house(local_operator=True), tmp_path / "master.key"
    former = [*its.authority.database.read(lambda tx: store.all_sealed(tx.connection)).values()]
    changing(its, tmp_path).in_place(act(its), path)
    its.authority.database.close()
    octets = b"".join(each.read_bytes() for each in sorted(tmp_path.glob("authsec.sqlite3*")))
    pieces = [blob[start : start + 32] for blob in former for start in range(0, len(blob) - 32, 200)]
    assert [piece for piece in pieces if piece in octets] == []
