"""Raw SQL inserts very many open sessions of an administrator, or enrolment codes of an agent.

To end all of them in one statement, disabling would take longer than a server allows, so nobody could disable the
administrator or the agent. So disabling ends some, and maintenance ends the others. Enabling makes none of them valid.
Lowering a role ends some as well, and the others have the lower role. A password reset ends all sessions or fails: it
says that disabling helps.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from authsec_server.accounts import administrators, sessions
from authsec_server.accounts.model.sessions import SessionTerms
from authsec_server.clients import enrolment_service
from authsec_server.clients import service as clients
from authsec_server.clients import store as client_store
from authsec_server.failures import Conflict
from authsec_server.principal import Role
from sealed_estate import sealed_estate
from sqlalchemy import Table, func, select

ROWS, AT_ONCE = 70, 20
ID = "'00000000-0000-4000-8000-' || (100000000000 + i)"
INSERT = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
    " {insert} FROM n, {owner}",
    "postgresql": "{insert} FROM generate_series(1, {rows}) AS n(i), {owner}",
}


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "AT_ONCE", AT_ONCE)
    monkeypatch.setattr(sessions, "MOST_ENDED", AT_ONCE)
    monkeypatch.setattr(client_store, "CODES_AT_ONCE", AT_ONCE)


def plant(estate: Any, table: Table, owner: str, **values: str) -> None:
    def work(tx: Any) -> None:
        dialect = tx.connection.dialect.name
        at = "'2126-11-25 11:00:00.000000" + ("+00'" if dialect == "postgresql" else "'")
        names = [column.name for column in table.columns]
        times = {name: at for name in names if name.endswith("_at")}
        its = dict.fromkeys(names, ID) | times | values
        insert = f"INSERT INTO {table.name} ({', '.join(names)}) SELECT {', '.join(its[name] for name in names)}"
        tx.connection.exec_driver_sql(INSERT[dialect].format(rows=ROWS, insert=insert, owner=owner))

    estate.database.append(work)


def plant_sessions(estate: Any) -> Any:
    """Plant sessions of Bob. Return him."""
    sealed_estate(estate)
    owner = "(SELECT id FROM administrators WHERE email = 'bob@example.com') a"
    texts = {"method": "'password'", "address": "''", "user_agent": "''"}
    plant(estate, sessions.store.sessions, owner, administrator_id="a.id", ended_at="NULL", **texts)
    return estate.database.read(lambda tx: administrators.find_administrator(tx, "bob@example.com"))


def open_sessions(estate: Any, bob: Any) -> int:
    return len(estate.database.read(lambda tx: sessions.store.open_sessions(tx.connection, bob.id)))


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("end", [sessions.end_all, administrators.reset])
def test_an_end_of_too_many_sessions_fails_with_a_remedy(estate: Any, end: Any) -> None:
    bob = plant_sessions(estate)
    with pytest.raises(Conflict, match="open sessions, too many for one change") as refused:
        estate.do(lambda tx, act: end(tx, act, bob.id))
    assert refused.value.remedy.startswith("Disable bob@example.com: then no session is valid")
    assert open_sessions(estate, bob) == ROWS


@pytest.mark.sqlite_suffices
def test_a_role_is_lowered_although_sessions_are_left(estate: Any) -> None:
    bob = plant_sessions(estate)
    for at, role in enumerate((Role.OPERATOR, Role.VIEWER)):
        revision = bob.revision + at
        estate.do(
            lambda tx, act, its=(role, revision): administrators.change_role(tx, act, bob.id, its[0], revision=its[1])
        )
    assert open_sessions(estate, bob) == ROWS - AT_ONCE
    changed = estate.database.read(lambda tx: administrators.find_administrator(tx, bob.id))
    assert changed.principal("").role is Role.VIEWER


def test_sessions(estate: Any) -> None:
    bob = plant_sessions(estate)

    def left() -> int:
        return open_sessions(estate, bob)

    def enable() -> None:
        estate.do(lambda tx, act: administrators.enable(tx, act, bob.id))

    estate.do(lambda tx, act: administrators.disable(tx, act, bob.id))
    assert left() == ROWS - AT_ONCE
    with pytest.raises(Conflict, match=r"Very many sessions of bob@example\.com have not ended yet"):
        enable()
    terms = SessionTerms(idle=timedelta(hours=1), lifetime=timedelta(hours=12))
    for _ in range(2):
        estate.database.append(lambda tx: sessions.keep(tx, estate.act.now, terms))
    assert left() == ROWS - 3 * AT_ONCE
    enable()
    assert left() == 0


def test_enrolment_codes(estate: Any) -> None:
    sealed_estate(estate)
    owner = "(SELECT id FROM clients WHERE slug = 'payments') a"
    texts = {"hours": "1", "made_by_kind": "'local_operator'", "made_by_id": "''", "made_by_name": "'x'"}
    plant(estate, client_store.enrolments, owner, client_id="a.id", **texts)

    def left() -> int:
        number = select(func.count()).select_from(client_store.enrolments)
        return int(estate.database.read(lambda tx: tx.connection.execute(number).scalar_one()))

    def enable() -> None:
        estate.do(lambda tx, act: clients.enable(tx, act, "payments"))

    estate.do(lambda tx, act: clients.disable(tx, act, "payments"))
    assert left() == ROWS - AT_ONCE
    with pytest.raises(Conflict, match=r"Very many enrolment codes of .* are not deleted yet"):
        enable()
    for _ in range(2):
        estate.database.append(lambda tx: enrolment_service.forget(tx, estate.act.now))
    assert left() == ROWS - 3 * AT_ONCE
    enable()
    assert left() == 0
