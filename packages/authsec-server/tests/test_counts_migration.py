"""Last uses of the version before are known by month afterwards, as the events say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from alembic import command
from alembic.config import Config
from authsec_server.audit import counts
from authsec_server.audit.counting import LastUse
from authsec_server.db import Tx, open_database
from sqlalchemy import create_engine, text

JUNE, JULY = datetime(2026, 6, 10, 12, tzinfo=UTC), datetime(2026, 7, 10, 12, tzinfo=UTC)
DROPPED = datetime(2026, 1, 10, 12, tzinfo=UTC)

JSON = {"delegations": '[{"id":"d","name":"D"}]', "roles": '[{"id":"r","name":"R"}]', "detail": '{"proof_id":"p"}'}


def event(number: int, at: datetime, kind: str, reason: str = "") -> dict[str, Any]:
    decision = "granted" if kind == "token.issued" else "denied"
    return {"id": number, "at": sql(at), "kind": kind, "reason": reason, "decision": decision} | JSON


def sql(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")


EVENTS = [
    event(1, JUNE, "token.issued"),
    event(2, JUNE.replace(hour=13), "token.refused", "client_disabled"),
    event(3, JULY, "token.issued"),
    event(4, JULY.replace(hour=13), "token.refused", "action_not_allowed"),
]
INSERT = (
    "INSERT INTO events (id, at, kind, request_id, client_id, client_name, delegations, roles, decision, reason,"
    " address, jti, kid, token_sha256, detail, occurrences) VALUES (:id, :at, :kind, '', 'c', 'Agent',"
    " :delegations, :roles, :decision, :reason, '', '', '', '', :detail, 1)"
)
OLD = "INSERT INTO last_uses (subject_id, granted_at, refused_at, refused_reason) VALUES (:s, :g, :r, :why)"


def test_the_last_uses_of_each_month_are_those_of_its_events(empty_database_url: str) -> None:
    engine = create_engine(empty_database_url)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "authsec_server:db/migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0014")
        for each in EVENTS:
            connection.execute(text(INSERT), each)
        july, refused = sql(JULY), sql(JULY.replace(hour=13))
        connection.execute(text(OLD), {"s": "c", "g": july, "r": refused, "why": "action_not_allowed"})
        connection.execute(text(OLD), {"s": "gone", "g": sql(DROPPED), "r": None, "why": None})
        connection.execute(text("UPDATE counted SET until = :at"), {"at": sql(JULY.replace(day=11))})
    engine.dispose()
    database = open_database(empty_database_url)
    database.migrate()

    def rows(tx: Tx) -> list[tuple[Any, ...]]:
        found = tx.connection.execute(text("SELECT subject_id, refused_reason FROM last_uses ORDER BY 1, month"))
        return [tuple(row) for row in found]

    assert database.read(rows) == [
        ("c", "client_disabled"),
        ("c", "action_not_allowed"),
        *((subject, None) for subject in ("d", "d", "gone", "p", "p", "r", "r")),
    ]
    assert database.read(lambda tx: counts.last_uses(tx, ["c", "d", "gone"])) == {
        "c": LastUse(granted_at=JULY, refused_at=JULY.replace(hour=13), refused_reason="action_not_allowed"),
        "d": LastUse(granted_at=JULY),
        "gone": LastUse(granted_at=DROPPED),
    }
    database.close()
