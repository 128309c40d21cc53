"""The audit log to take away: complete, in order, and exactly what the pages show."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from authsec_server.audit import export
from authsec_server.audit import service as audit
from authsec_server.audit.filters import EventFilter
from authsec_server.audit.model import Decision, Event, EventKind, Named, Refusal, Tally
from authsec_server.db import Database
from authsec_server.principal import LOCAL_OPERATOR

pytestmark = pytest.mark.sqlite_suffices

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
TOKEN = Event(
    at=NOW,
    kind=EventKind.TOKEN_ISSUED,
    request_id="req_000000000000000000000001",
    client=Named(id="c1", name='Agent "Ö", Ltd.'),
    delegations=(Named(id="d1", name="A → Agent"), Named(id="d2", name="B → Agent")),
    roles=(Named(id="r1", name="A"),),
    decision=Decision.GRANTED,
    address="192.0.2.1",
    authority_version=7,
    jti="1" * 32,
    kid="k1",
    token_sha256="ab" * 32,
    expires_at=NOW,
    detail={"actions": ["customers:read"]},
)
ACT = Event(at=NOW, kind=EventKind.ROLE_CREATED, request_id="req_000000000000000000000002", principal=LOCAL_OPERATOR)


@pytest.fixture
def audit_log(database: Database) -> Database:
    refusal = Refusal(address="192.0.2.9", reason="client_not_found")
    database.append(
        lambda tx: [
            audit.record(tx, event) for event in (TOKEN, ACT, replace(ACT, request_id="req_000000000000000000000003"))
        ]
    )
    database.append(
        lambda tx: audit.count_refusals(tx, {refusal: Tally(count=12, request_id="req_000000000000000000000004")}, NOW)
    )
    return database


def test_json_lines_are_what_the_admin_api_shows(audit_log: Database) -> None:
    lines = list(export.json_lines(audit_log, LOCAL_OPERATOR))
    newest = audit_log.read(lambda tx: audit.page(tx, LOCAL_OPERATOR)).items
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in lines)
    assert [json.loads(line) for line in lines] == [export.as_json(recorded) for recorded in reversed(newest)]
    assert "Ö" in lines[0]


def test_csv_has_every_value(audit_log: Database) -> None:
    token, act, _, counted = csv.DictReader(io.StringIO("".join(export.csv_lines(audit_log, LOCAL_OPERATOR))))
    assert token == {
        "id": token["id"],
        "at": "2026-11-25T12:00:00Z",
        "kind": "token.issued",
        "count": "1",
        "counted": "false",
        "request_id": "req_000000000000000000000001",
        "principal_kind": "",
        "principal_id": "",
        "principal_name": "",
        "principal_role": "",
        "client_id": "c1",
        "client_name": 'Agent "Ö", Ltd.',
        "delegation_ids": "d1\nd2",
        "delegation_names": "A → Agent\nB → Agent",
        "role_ids": "r1",
        "role_names": "A",
        "subject_id": "",
        "subject_name": "",
        "decision": "granted",
        "reason": "",
        "address": "192.0.2.1",
        "authority_version": "7",
        "jti": "1" * 32,
        "kid": "k1",
        "token_sha256": "ab" * 32,
        "expires_at": "2026-11-25T12:00:00Z",
        "detail": '{"actions": ["customers:read"]}',
        "tables": "",
        "place": "",
        "leaf": "",
        "as_sealed": "",
    }
    assert (act["principal_name"], act["principal_role"]) == ("local operator", "admin")
    assert (counted["count"], counted["counted"], counted["reason"]) == ("12", "true", "client_not_found")


def test_no_value_of_the_admin_api_is_missing_in_csv(audit_log: Database) -> None:
    shown = export.as_json(audit_log.read(lambda tx: audit.page(tx, LOCAL_OPERATOR)).items[-1])
    checkpoints = next(iter(export.csv_lines(audit_log, LOCAL_OPERATOR)))
    assert all(f'"{name.rstrip("s")}' in checkpoints for name in shown)


def test_only_what_is_wanted(audit_log: Database) -> None:
    wanted = EventFilter(kinds=frozenset({EventKind.ROLE_CREATED}))
    assert [json.loads(line)["request_id"] for line in export.json_lines(audit_log, LOCAL_OPERATOR, wanted)] == [
        "req_000000000000000000000002",
        "req_000000000000000000000003",
    ]


def test_it_is_read_in_batches_and_ends_where_it_began(audit_log: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much happens meanwhile: an export that follows the audit log would never end."""
    monkeypatch.setattr(export, "BATCH", 1)
    lines = 0
    for _ in export.json_lines(audit_log, LOCAL_OPERATOR):
        lines += 1
        audit_log.append(lambda tx: audit.record(tx, ACT))
    assert lines == 4


def test_an_empty_audit_log_has_the_checkpoints_only(database: Database) -> None:
    assert list(export.json_lines(database, LOCAL_OPERATOR)) == []
    assert len(list(export.csv_lines(database, LOCAL_OPERATOR))) == 1
