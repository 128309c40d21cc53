"""The master key is changed: everything opens with the new key only, and a crash leaves exactly one key that works."""

from __future__ import annotations

import base64
import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec.jose import parse_compact
from authsec_server.accounts import second_factor_store
from authsec_server.audit.sealing.verifying import verify
from authsec_server.audit.store import sealed_events
from authsec_server.db import Database
from authsec_server.db.served import proves_issuer
from authsec_server.failures import Conflict, Fault, Unavailable
from authsec_server.keys import master_key, store
from authsec_server.keys.master_key import MasterKey, NotUnsealed, Purpose
from authsec_server.keys.master_key_change import MasterKeyChange, SealedSecrets
from authsec_server.principal import LOCAL_OPERATOR, Act
from click.testing import Result
from people import first_administrator
from second_factors import turn_on, with_code
from sqlalchemy import func, select, update

Build = Callable[..., Any]
ENDPOINT = "/authsec/uflow/sdk/delegation-token"
SECOND_FACTORS = SealedSecrets(Purpose.SECOND_FACTOR, second_factor_store.all_sealed, second_factor_store.set_sealed)
TABLES = {Purpose.FEED: store.feed_keys, Purpose.AUDIT_LOG: store.sealing_keys}


class Crash(BaseException):
    """The process ends here: no handler runs."""


def key_in(path: Path) -> MasterKey:
    return MasterKey(base64.b64decode(path.read_bytes()))


def opened(house_on_each: Build) -> Any:
    its = house_on_each(local_operator=True)
    if its.authority.database.dialect == "postgresql":  # a server seals by PostgreSQL's clock as well
        its.clock.at = datetime.now(UTC)
    return its


def change_of(its: Any, path: Path) -> MasterKeyChange:
    return MasterKeyChange(
        database=its.authority.database,
        old=key_in(path),
        secrets=SECOND_FACTORS,
        token_bytes=secrets.token_bytes,
        verification_keys=its.authority.dropper.keys,
    )


def act(its: Any) -> Act:
    return Act(principal=LOCAL_OPERATOR, now=its.clock.at, request_id="", address="", token_bytes=secrets.token_bytes)


def ciphertexts(database: Database) -> list[tuple[Purpose, str, bytes]]:
    def read(tx: Any) -> list[tuple[Purpose, str, bytes]]:
        found = [(Purpose.TOKENS, kid, blob) for kid, blob in store.all_sealed(tx.connection).items()]
        for purpose, table in TABLES.items():
            found += [(purpose, key.kid, key.sealed) for key in store.all_head_keys(tx.connection, table)]
        return found

    return database.read(read)


def opens(key: MasterKey, database: Database) -> set[bool]:
    """Whether the key opens the private keys: of all, of none, or of some."""
    found = set()
    for purpose, kid, blob in ciphertexts(database):
        try:
            found.add(bool(key.unseal(blob, kid=kid, purpose=purpose)))
        except NotUnsealed:
            found.add(False)
    return found


def token(its: Any, agent: Any) -> str:
    proof = {"Authorization": f"Bearer {agent.assertion(its.clock.at)}"}
    answer = its.door().get(ENDPOINT, params={"client_id": agent.client_id}, headers=proof)
    assert answer.status_code == 200, answer.text
    value: str = answer.json()["token"]
    return value


def seal(its: Any) -> None:
    its.clock.at = datetime.now(UTC) if its.authority.database.dialect == "postgresql" else its.clock.at
    if its.authority.database.dialect == "sqlite":
        its.clock.at += timedelta(minutes=1)
    while its.authority.dropper.sealer.seal():
        pass


def findings(its: Any) -> tuple[str, ...]:
    keys = its.authority.dropper.keys()
    report = its.authority.database.check(lambda tx: verify(tx, keys, now=its.clock.at))
    return (*report.findings, *report.unproved)


def not_sealed(its: Any) -> int:
    def count(tx: Any) -> int:
        every = tx.connection.execute(select(func.count()).select_from(store.metadata.tables["events"])).scalar_one()
        with_seal = tx.connection.execute(select(func.count()).select_from(sealed_events)).scalar_one()
        return int(every - with_seal)

    return int(its.authority.database.read(count))


def test_the_new_key_opens_everything_and_the_former_one_nothing(house_on_each: Build, tmp_path: Path) -> None:
    its, path = opened(house_on_each), tmp_path / "master.key"
    its.authority.remember_issuer()
    agent, old = its.delegated_agent(), key_in(path)
    before = token(its, agent)
    seal(its)
    waiting = token(its, agent)
    assert opens(old, its.authority.database) == {True}
    done, kept = change_of(its, path).in_place(act(its), path)
    new = key_in(path)
    assert (done.before, done.after, done.keys, done.unreadable) == (old.id(), new.id(), 4, ())
    assert done.events >= 1, "the event of a token waited for its seal"
    assert (key_in(kept).id(), kept.stat().st_mode, kept.parent) == (old.id(), path.stat().st_mode, tmp_path)
    assert (opens(new, its.authority.database), opens(old, its.authority.database)) == ({True}, {False})

    assert its.authority.database.read(lambda tx: proves_issuer(tx, new.issuer_key()))
    again = opened(house_on_each)
    after = token(again, agent)
    assert len({parse_compact(each).header["kid"] for each in (before, waiting, after)}) == 1
    seal(again)
    assert findings(again) == ()
    assert not_sealed(again) == 0
    (event,) = [each.event for each in again.events() if each.event.kind == "master_key.changed"]
    assert (event.principal, event.subject.id, event.detail) == (LOCAL_OPERATOR, new.id(), {"replaces": old.id()})


@pytest.mark.sqlite_suffices
def test_a_second_factor_goes_on(house_on_each: Build, tmp_path: Path) -> None:
    its, path = house_on_each(), tmp_path / "master.key"
    its.clock.at = datetime.now(UTC)
    phone, _codes = turn_on(its, first_administrator(its))
    old = key_in(path)
    assert change_of(its, path).rehearse(act(its)).secrets == 1
    done, _kept = change_of(its, path).in_place(act(its), path)
    assert (done.keys, done.secrets, done.unreadable) == (4, 1, ())
    ((name, blob),) = its.authority.database.read(lambda tx: second_factor_store.all_sealed(tx.connection)).items()
    with pytest.raises(NotUnsealed):
        old.unseal(blob, kid=name, purpose=Purpose.SECOND_FACTOR)
    again = house_on_each()
    again.clock.at = its.clock.at
    assert with_code(again, again.door(), phone.at(again.clock.now())).location == "/console"


def test_a_server_with_the_former_key_stops(house_on_each: Build, tmp_path: Path) -> None:
    its, path = opened(house_on_each), tmp_path / "master.key"
    stale = opened(house_on_each)
    agent = stale.delegated_agent()
    token(stale, agent)
    change_of(its, path).in_place(act(its), path)
    proof = {"Authorization": f"Bearer {agent.assertion(stale.clock.at)}"}
    answer = stale.door().get(ENDPOINT, params={"client_id": agent.client_id}, headers=proof)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60"), answer.text
    database, count = stale.authority.database, len(its.events())
    for method in (database.read, database.append, database.record, database.change):
        with pytest.raises(Unavailable, match="master key of this database was changed") as refused:
            method(lambda _: pytest.fail("no work runs"))
        assert refused.value.fault is Fault.MASTER_KEY_CHANGED
    assert len(its.events()) == count
    assert stale.door().post("/authsec/api/v1/roles", json={"name": "R", "actions": ["a:b"]}).status_code == 503


def test_the_probe_says_why(house: Build, tmp_path: Path) -> None:
    its, path = opened(house), tmp_path / "master.key"
    stale = house()
    change_of(its, path).in_place(act(its), path)
    with stale.door() as door:
        stale.clock.at += timedelta(seconds=11)  # one failed probe makes no server unready
        for _ in range(50):
            told = door.get("/readyz")
            if told.json()["status"] == "master_key_changed":
                break
            time.sleep(0.1)
        assert (told.status_code, told.json()["status"]) == (503, "master_key_changed")


STEPS = {
    "the new file is not there yet": (os, "link", 0),
    "nothing is committed": (Database, "change", 0),
    "the transaction is not committed": (store, "set_sealed", 2),
    "the former key is not kept yet": (os, "link", 1),
    "the new file has not replaced the former one": (os, "replace", 0),
    "the folder is not synchronised": (master_key, "synchronise", 1),
}

IN_EVERY_RUN = {"the new file has not replaced the former one"}


@pytest.mark.parametrize(
    "step", [pytest.param(each, marks=[] if each in IN_EVERY_RUN else pytest.mark.soak) for each in STEPS]
)
@pytest.mark.sqlite_suffices
def test_a_crash_leaves_exactly_one_key_that_works(
    house_on_each: Build, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    its, path = opened(house_on_each), tmp_path / "master.key"
    agent = its.delegated_agent()
    seal(its)
    token(its, agent)
    change = change_of(its, path)
    where, name, spared = STEPS[step]
    genuine, calls = getattr(where, name), [0]

    def crash(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] > spared:
            raise Crash
        return genuine(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(where, name, crash)
        with pytest.raises(Crash):
            change.in_place(act(its), path)
    files = [each for each in tmp_path.iterdir() if "master.key" in each.name and not each.name.startswith(".")]
    ids = {key_in(each).id() for each in files if opens(key_in(each), _anew(its).database) == {True}}
    assert len(ids) == 1
    again = opened(house_on_each)
    assert key_in(path).id() in ids
    token(again, agent)
    seal(again)
    assert findings(again) == ()
    assert not_sealed(again) == 0
    change_of(again, path).in_place(act(again), path)  # the command can run again
    third = opened(house_on_each)
    token(third, agent)
    seal(third)
    assert findings(third) == ()


def _anew(its: Any) -> Any:
    """The same database, as a process that has no master key reads it."""
    its.authority.database.master_key_id = None
    return its.authority


@pytest.mark.sqlite_suffices
def test_of_two_commands_at_once_the_second_changes_nothing(house_on_each: Build, tmp_path: Path) -> None:
    first, second, path = opened(house_on_each), opened(house_on_each), tmp_path / "master.key"
    late = change_of(second, path)
    change_of(first, path).in_place(act(first), path)
    new = path.read_bytes()
    with pytest.raises(Unavailable, match="was changed"):
        late.in_place(act(second), path)
    assert path.read_bytes() == new
    assert opens(key_in(path), first.authority.database) == {True}
    assert [each.name for each in tmp_path.iterdir() if ".next-" in each.name] == []


@pytest.mark.sqlite_suffices
def test_a_key_that_the_operator_has_made(house_on_each: Build, tmp_path: Path) -> None:
    its, path = opened(house_on_each), tmp_path / "master.key"
    before, new = path.read_bytes(), MasterKey(secrets.token_bytes(32))
    change = change_of(its, path)
    assert change.rehearse(act(its), new).keys == 4
    assert opens(change.old, its.authority.database) == {True}
    assert change.to(act(its), new).after == new.id()
    assert path.read_bytes() == before
    assert opens(new, its.authority.database) == {True}
    with pytest.raises(Conflict, match="the present master key"):
        replace(change, old=new).to(act(its), new)


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("table", ["signing_keys", "feed_keys", "sealing_keys"])
def test_a_key_that_no_master_key_opens(house_on_each: Build, tmp_path: Path, table: str) -> None:
    its, path = opened(house_on_each), tmp_path / "master.key"
    its_table, database = store.metadata.tables[table], its.authority.database
    kid = database.read(lambda tx: tx.connection.execute(select(its_table.c.kid).limit(1)).scalar_one())
    damaged = update(its_table).where(its_table.c.kid == kid).values(sealed_private=b"damaged")
    database.append(lambda tx: tx.connection.execute(damaged))
    before = ciphertexts(database)
    if table == "signing_keys":
        with pytest.raises(Conflict, match=f"{kid} cannot be decrypted"):
            change_of(its, path).in_place(act(its), path)
        assert ciphertexts(database) == before
        assert [each.name for each in tmp_path.iterdir() if "master.key." in each.name] == []
    elif table == "feed_keys":
        done, _ = change_of(its, path).in_place(act(its), path)
        assert (done.keys, done.unreadable) == (3, (kid,))


@pytest.mark.sqlite_suffices
def test_a_file_that_cannot_be_replaced(house_on_each: Build, tmp_path: Path) -> None:
    its, path = opened(house_on_each), tmp_path / "master.key"
    (tmp_path / "elsewhere").mkdir()
    path.rename(tmp_path / "elsewhere" / "key")
    path.symlink_to(tmp_path / "elsewhere" / "key")
    with pytest.raises(Conflict, match="symbolic link"):
        change_of(its, path).in_place(act(its), path)
    assert opens(key_in(path), its.authority.database) == {True}


@pytest.mark.opens_anew
def test_the_command(authsec: Callable[..., Result], tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    old = key_in(path)
    planned = authsec("keys", "change-master-key", "--dry-run")
    assert planned.exit_code == 0, planned.output
    assert planned.stdout == "Nothing was changed. 4 private keys would be encrypted with a new master key.\n"
    asked = authsec("keys", "change-master-key")
    assert (asked.exit_code, "nobody could answer" in asked.stderr) == (1, True)
    assert "/readyz says master_key_changed" in asked.stderr
    assert key_in(path).id() == old.id()
    changed = authsec("keys", "change-master-key", "--yes")
    assert changed.exit_code == 0, changed.output
    new = key_in(path)
    assert f"The master key {new.id()} encrypts 4 private keys, in place of {old.id()}." in changed.stdout
    assert f"{path} has the new key, and {path}.old-{old.id()} the former one." in changed.stdout
    assert "Backups from before need the former master key." in changed.stdout
    assert authsec("keys", "list").exit_code == 0

    third = tmp_path / "third.key"
    third.write_bytes(base64.b64encode(secrets.token_bytes(32)))
    third.chmod(0o600)
    named = authsec("keys", "change-master-key", "--new-key-file", str(third), "--yes", "--json")
    assert named.exit_code == 0, named.output
    told = json.loads(named.stdout)
    assert (told["master_key"], told["replaces"], told["keys"]) == (key_in(third).id(), new.id(), 4)
    refused = authsec("keys", "list")
    assert (refused.exit_code, "is not the one that encrypted" in refused.stderr) == (1, True)
    listed = authsec("audit", "list", "--kind", "master_key.changed")
    assert listed.exit_code == 1  # without the key, no command opens the authority
    third.replace(path)
    assert authsec("audit", "list", "--kind", "master_key.changed").stdout.count("master_key.changed") == 2
