"""Raw SQL inserts an event of the usual form, or changes one between its commit and its seal.

Before events had a MAC, the sealer sealed such events. Then very many of them could displace genuine events wherever a
reader has a limit, in dry runs, lists and dashboards, and nothing was found. Now no sealer accepts them, and `verify`
names them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from authsec_server.audit import service as audit
from authsec_server.audit.event_macs import event_mac, has_mac
from authsec_server.audit.merkle_tree import COVERED
from authsec_server.audit.model import DIGESTS, Event, EventKind
from authsec_server.audit.sealing.verifying import verify
from authsec_server.audit.store import event_delegations, events, sealed_events
from authsec_server.cli import register
from authsec_server.db import Tx
from authsec_server.principal import THE_SERVER
from authsec_server.roles.store import roles
from click.testing import CliRunner
from sqlalchemy import func, insert, select, text, update

API = "https://api"
CHANGES: dict[str, Any] = {
    "kind": "token.revoked",
    "reason": "policy",
    "client_name": "Another",
    "roles": [],
    "address": "192.0.2.99",
    "authority_version": 1,
    "jti": "f" * 32,
    "kid": "another",
    "token_sha256": "0" * 43,
    "detail": {"actions": ["a:b"], "audience": [API]},
    "occurrences": 2,
    "mac": b"\0" * 32,
}


@pytest.fixture
def scene(house_on_each: Callable[..., Any]) -> Any:
    """An authority and an agent with one token, in an event without a seal."""
    its = house_on_each(local_operator=True)
    if its.authority.database.dialect == "postgresql":  # a server seals by PostgreSQL's clock as well
        its.clock.at = datetime.now(UTC)
    return with_a_token(its)


def with_a_token(its: Any) -> Any:
    client = its.delegated_name("Helper", audiences=(API, "https://other"))
    query = f"client_id={client}&resource={API}"
    assert its.door().get(f"/authsec/uflow/sdk/delegation-token?{query}").status_code == 200
    return its


def settled(its: Any) -> set[int]:
    """Let the sealer work, and return the numbers with a seal."""
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


def a_token(tx: Tx) -> Any:
    return tx.connection.execute(select(events).where(events.c.kind == "token.issued")).one()


def planted(its: Any, **values: Any) -> int:
    """Insert a copy of the token's event with the next number and these values, and return the number."""

    def work(tx: Tx) -> int:
        row = a_token(tx)._asdict()
        number: int = tx.connection.execute(select(func.max(events.c.id))).scalar_one() + 1
        row |= {"id": number, "jti": "f" * 32, "request_id": f"req_{7:024}"} | values
        tx.connection.execute(insert(events).values(row))
        for each in row["delegations"]:
            tx.connection.execute(insert(event_delegations).values(delegation_id=each["id"], event_id=number))
        return number

    return int(its.authority.database.append(work))


def test_what_servers_and_commands_write_is_sealed(scene: Any) -> None:
    """Tokens, acts with digests, and refusals that are counted several times."""
    door = scene.door()
    for _ in range(3):
        assert door.get("/authsec/uflow/sdk/delegation-token?client_id=nobody").status_code >= 400
    database = scene.authority.database
    rows = database.read(lambda tx: [row._asdict() for row in tx.connection.execute(select(events))])
    assert {"token.issued", "token.refused", "role.created"} <= {row["kind"] for row in rows}
    assert [row["id"] for row in rows if not has_mac(database.event_key, row)] == []
    acts = {row["id"] for row in rows if row["count_key"] is None}
    assert acts <= settled(scene)
    if database.dialect == "sqlite":  # on PostgreSQL, no test waits for minutes
        scene.clock.at += timedelta(minutes=12)
        assert settled(scene) == {row["id"] for row in rows}
    assert findings(scene) == ""


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("mac", [None, b"", b"\1" * 32], ids=["none", "empty", "another"])
def test_an_event_without_a_right_mac_gets_no_seal_and_is_found(scene: Any, mac: bytes | None) -> None:
    number = planted(scene, mac=mac)
    assert number not in settled(scene)
    assert f"Event {number} " in findings(scene)


@pytest.mark.sqlite_suffices
def test_the_mac_of_another_event_does_not_fit(scene: Any) -> None:
    settled(scene)
    number = planted(scene)  # with the MAC of the event that it copies
    assert number not in settled(scene)
    assert f"Event {number} " in findings(scene)


@pytest.mark.sqlite_suffices
def test_a_mac_by_another_key_does_not_fit(scene: Any) -> None:
    row = scene.authority.database.read(a_token)._asdict()
    top = scene.authority.database.read(lambda tx: tx.connection.execute(select(func.max(events.c.id))).scalar_one())
    row |= {"id": top + 1, "jti": "f" * 32, "request_id": f"req_{7:024}"}
    number = planted(scene, mac=event_mac(b"\0" * 32, row))
    assert number not in settled(scene)
    assert f"Event {number} " in findings(scene)


@pytest.mark.sqlite_suffices
def test_a_planted_event_is_found_without_the_key_when_its_seal_is_overdue(scene: Any) -> None:
    number = planted(scene)
    settled(scene)
    for _ in range(12):
        settled(scene)
    scene.authority.database.event_key = None  # as on a machine that has no master key
    assert f"Event {number} " in findings(scene)


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("column", CHANGES)
def test_a_change_between_commit_and_seal_is_found(scene: Any, column: str) -> None:
    def work(tx: Tx) -> int:
        number: int = a_token(tx).id
        tx.connection.execute(update(events).where(events.c.id == number).values({column: CHANGES[column]}))
        return number

    number = scene.authority.database.append(work)
    assert number not in settled(scene)
    assert f"Event {number} " in findings(scene)


def test_the_mac_covers_all_that_a_leaf_covers() -> None:
    row = dict.fromkeys(COVERED)
    macs = {event_mac(b"key", {**row, name: "other"}) for name in COVERED}
    assert len(macs) == len(COVERED)
    assert event_mac(b"key", row) not in macs


@pytest.mark.sqlite_suffices
def test_a_refusal_that_seems_to_have_occurred_more_often_is_found(scene: Any) -> None:
    """A further refusal of that minute gives the changed row no new MAC: it is counted in another row."""
    door, database = scene.door(), scene.authority.database

    def refuse() -> None:
        assert door.get("/authsec/uflow/sdk/delegation-token?client_id=nobody").status_code >= 400
        scene.authority.tokens.write_counts() if hasattr(scene.authority.tokens, "write_counts") else None

    refuse()
    raised = database.append(
        lambda tx: (
            tx.connection.execute(
                update(events).where(events.c.count_key.is_not(None)).values(occurrences=9_000_000)
            ).rowcount
        )
    )
    assert raised == 1
    refuse()
    scene.clock.at += timedelta(minutes=12)
    settled(scene)
    counted = database.read(
        lambda tx: tx.connection.execute(
            select(events.c.id, events.c.occurrences, sealed_events.c.position)
            .outerjoin(sealed_events, sealed_events.c.event_id == events.c.id)
            .where(events.c.count_key.is_not(None))
            .order_by(events.c.id)
        ).all()
    )
    changed, genuine = counted
    assert (changed.occurrences, changed.position) == (9_000_000, None)
    assert genuine.occurrences == 1
    assert genuine.position is not None
    assert f"Event {changed.id} " in findings(scene)


@pytest.mark.parametrize("length", [0, 31, 33, 20_000])
def test_a_mac_of_another_length_is_found_although_its_event_has_a_seal(scene: Any, length: int) -> None:
    """Readers measure rows with their MAC: long ones would leave no room for other events."""
    settled(scene)
    number = scene.authority.database.read(a_token).id
    its = update(events).where(events.c.id == number).values(mac=b"m" * length)
    scene.authority.database.append(lambda tx: tx.connection.execute(its) and None)
    assert f"Event {number} " in findings(scene)


def test_an_event_of_a_dry_run_has_no_mac(scene: Any) -> None:
    """PostgreSQL keeps rows that were rolled back, and a superuser reads them (`pageinspect`)."""

    def macs(tx: Tx) -> list[Any]:
        audit.record(tx, Event(at=scene.clock.at, kind=EventKind.ROLE_CREATED, request_id="", principal=THE_SERVER))
        newest = select(events.c.mac).order_by(events.c.id.desc()).limit(1)
        return list(tx.connection.execute(newest).scalars())

    assert scene.authority.database.rehearse(macs) == [None]
    (mac,) = scene.authority.database.record(macs)
    assert len(mac) == 32


@pytest.mark.parametrize("which", ["one", "all"])
def test_spoilt_signing_keys_do_not_keep_verify_from_the_key_of_macs(
    house: Callable[..., Any], which: str, tmp_path: Path
) -> None:
    its = with_a_token(house(local_operator=True))
    settled(its)
    number = planted(its, mac=b"\1" * 32)
    (tmp_path / "keys").write_text(its.door().get("/authsec/api/v1/events/keys").text)
    some = "" if which == "all" else " WHERE kid = (SELECT min(kid) FROM signing_keys)"
    spoil = text(f"UPDATE signing_keys SET sealed_private = x'00'{some}")
    its.authority.database.append(lambda tx: tx.connection.execute(spoil) and None)
    group = click.Group()
    register(group)
    told = CliRunner().invoke(group, ["audit", "verify", "--key", str(tmp_path / "keys"), "--data", str(tmp_path)])
    if which == "one":
        assert (told.exit_code, f"Event {number} " in told.output) == (3, True), told.output
    else:
        assert told.exit_code in {3, 6}
        assert "opens no signing key of this database" in told.output


def test_no_version_of_a_change_has_a_mac_without_its_digests(scene: Any) -> None:
    """PostgreSQL keeps the version that is inserted first. With it, raw SQL could undo the change before the seal."""
    database, seen = scene.authority.database, []

    def work(tx: Tx) -> None:
        role = tx.connection.execute(select(roles)).first()
        for name in ("One", "Two"):
            audit.record(tx, Event(at=scene.clock.at, kind=EventKind.ROLE_CREATED, request_id="", principal=THE_SERVER))
            newest = select(events.c.id, events.c.mac).order_by(events.c.id.desc()).limit(1)
            seen.append(tx.connection.execute(newest).one())
            tx.connection.execute(update(roles).where(roles.c.id == role.id).values(name=name))

    database.change(work)
    assert [row.mac for row in seen] == [None, None]
    numbers = [row.id for row in seen]
    its = select(events).where(events.c.id.in_(numbers)).order_by(events.c.id)
    rows = database.read(lambda tx: [row._asdict() for row in tx.connection.execute(its)])
    assert [DIGESTS in row["detail"] for row in rows] == [False, True]
    assert all(has_mac(database.event_key, row) for row in rows)


def test_the_master_key_beside_the_named_file_is_found(
    house: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    its = with_a_token(house(local_operator=True))
    settled(its)
    number = planted(its, mac=b"\1" * 32)
    keys = tmp_path / "keys"
    keys.write_text(its.door().get("/authsec/api/v1/events/keys").text)
    monkeypatch.setenv("AUTHSEC_SERVER_DATA", str(tmp_path / "elsewhere"))
    group = click.Group()
    register(group)
    url = f"sqlite:///{tmp_path / 'authsec.sqlite3'}"
    told = CliRunner().invoke(group, ["audit", "verify", "--key", str(keys), "--database", url])
    assert (told.exit_code, f"Event {number} " in told.output) == (3, True), told.output
