"""Somebody inserts one event of a shape that no server writes: every list, dry run or dashboard that meets it fails.

`verify` once took such an event for a valid one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
import structlog
from audit_answers import ANN, CLIENTS, LATER, answers, fill, readers
from authsec_server.audit import counts, pages
from authsec_server.audit import live_tokens as audit_live_tokens
from authsec_server.audit import service as audit
from authsec_server.audit.event_shape import MAX_ACTION, MAX_ID, MAX_LISTED, MAX_NAME, OPTIONAL_TEXTS, TEXTS
from authsec_server.audit.filters import EventFilter
from authsec_server.audit.model import Decision, Event, EventKind
from authsec_server.audit.rollup import roll_up
from authsec_server.audit.sealing.scan import Scan
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.store import daily_uses, events, last_uses
from authsec_server.audit.views import as_json
from authsec_server.db import Database, Tx
from authsec_server.db.schema import canonical_json
from authsec_server.delegations import live_tokens
from long_runs import some_of
from sqlalchemy import String, text

pytestmark = pytest.mark.sqlite_suffices

API = "/authsec/api/v1"
AT = "2026-11-25 15:09:00.000000"  # not counted yet, and of before the checkpoint
ROW: Mapping[str, Any] = {
    "id": 900,
    "at": AT,
    "kind": "token.issued",
    "request_id": "req_00000000000000000planted",
    "client_id": CLIENTS[0],
    "client_name": "Agent 0",
    "delegations": "[]",
    "roles": "[]",
    "decision": "granted",
    "reason": "",
    "address": "192.0.2.1",
    "authority_version": 1,
    "jti": "",
    "kid": "kid",
    "token_sha256": "",
    "expires_at": "2026-11-25 20:00:00.000000",
    "detail": "{}",
    "occurrences": 1,
}
MISMATCH = {"kind": "token.refused", "decision": "denied", "reason": "selectors_mismatch"}


def _detail(**members: Any) -> dict[str, Any]:
    return {"detail": canonical_json(members)}


PLANTED: dict[str, Mapping[str, Any]] = {
    "no number": {"detail": '{"x":NaN}'},
    "an infinite number": {"detail": '{"x":Infinity}'},
    "a lone surrogate": {"detail": r'{"x":"\ud800"}'},
    "a lone surrogate in the name of a delegation": {"delegations": r'[{"id":"d-1","name":"\ud800"}]'},
    "33 objects in one another": {"detail": '{"a":' * 33 + "1" + "}" * 33},
    "a long text": _detail(x="x" * 2**20),
    "an audience that is a number": _detail(audience=5),
    "an audience of numbers": _detail(audience=[5]),
    "an audience of lists": _detail(audience=[["x"]]),
    "a trusted issuer that is a text": _detail(trusted_issuer="x"),
    "a trusted issuer whose id is a list": _detail(trusted_issuer={"id": ["x"], "name": "x"}),
    "a trusted issuer without a name": _detail(trusted_issuer={}),
    "a validation that is a list": _detail(validation=["x"]),
    "a miss that is a number": MISMATCH | _detail(miss=5),
    "selectors that are numbers": MISMATCH | _detail(miss={"selectors": [5]}),
    "a missed proof that is a list": MISMATCH | _detail(miss={"proof_id": ["x"], "sentence": "x"}),
    "actions that are missing in a number": MISMATCH | _detail(missing=5),
    "fewer actions that are a number": MISMATCH | _detail(smaller=5),
    "a revision that is a text": {"kind": "client.edited", "decision": None} | _detail(revision="x", after={}),
    "an edit to a number": {"kind": "client.edited", "decision": None} | _detail(revision=9, after=5),
    "an edit from a list": {"kind": "client.edited", "decision": None} | _detail(before=[1], after=[1]),
    "an edit of another field": {"kind": "client.edited", "decision": None} | _detail(before={"a": 1}, after={}),
    "a drop of a text of events": {"kind": "events.dropped", "decision": None} | _detail(events="x"),
    "counts in rows that are a number": {"kind": "counts.rebuilt", "decision": None} | _detail(rows=5),
    "NUL in the id of a role": {"roles": r'[{"id":"r\u0000","name":"x"}]'},
    "NUL in the id of a trusted issuer": {"detail": r'{"trusted_issuer":{"id":"s\u0000","name":"x"}}'},
    "NUL in an audience": {"detail": r'{"audience":["https://a\u0000"]}'},
    "NUL in the id of a proof": {"detail": r'{"proof_id":"p\u0000"}'},
    "NUL in an action": {"detail": r'{"actions":["a\u0000"]}'},
    "NUL behind a backslash": {"detail": r'{"x":"\\\u0000"}'},
    "the id of a proof longer than its column": _detail(proof_id="p" * 50),
    "an action longer than its column": _detail(actions=["a" * 200]),
    "the id of a delegation longer than its column": {"delegations": canonical_json([{"id": "d" * 37, "name": "D"}])},
    "very many roles": {"roles": canonical_json([{"id": f"{each:x}", "name": ""} for each in range(20_000)])},
    "very many uses": {"roles": canonical_json([{"id": f"{each:x}", "name": ""} for each in range(2000)])}
    | _detail(actions=[f"a:{each}" for each in range(2000)]),
    "a name of 5 MB": {"client_name": "x" * 5_000_000},
    "the kind of a list's stand-in": {"kind": "event.unreadable", "decision": None},
}
# Python reads the JSON alike from both: these are of the texts that PostgreSQL refuses, compares or cuts otherwise.
ON_POSTGRESQL = (
    *("no number", "a lone surrogate", "a long text", "NUL in the id of a role", "NUL in an action"),
    *("the id of a delegation longer than its column", "very many roles", "a name of 5 MB"),
)
ON_SQLITE: dict[str, Mapping[str, Any]] = {
    "a name that is no UTF-8": {"client_name": b"\xff"},
    "a request that is no UTF-8": {"request_id": b"req_\xff"},
    "a reason that is no UTF-8": {"reason": b"\xff"},
    "a key that is no UTF-8": {"kid": b"\xff"},
    "NUL in a name": {"client_name": "x\0"},
    "an id longer than its column": {"client_id": "c" * 37},
    "more occurrences than a column can hold": {"occurrences": 2**62},
}


def plant(tx: Tx, **changes: Any) -> None:
    """Insert the event by raw SQL."""
    row = {**ROW, **changes}
    values = (f"CAST(:{name} AS TEXT)" if isinstance(value, bytes) else f":{name}" for name, value in row.items())
    if tx.connection.dialect.name == "postgresql":
        row |= {name: f"{row[name]}+00" for name in ("at", "expires_at") if row[name]}
        values = (f"CAST(:{name} AS timestamptz)" if name in ("at", "expires_at") else f":{name}" for name in row)
    tx.connection.execute(text(f"INSERT INTO events ({', '.join(row)}) VALUES ({', '.join(values)})"), row)


def _check(database: Database, *planted: Mapping[str, Any]) -> None:
    log = fill(database)
    numbers = range(900, 900 + len(planted))
    for number, each in zip(numbers, planted, strict=True):
        database.append(lambda tx, number=number, each=each: plant(tx, **(each | {"id": number})))
    report = database.read(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=LATER + timedelta(hours=1)))
    for number in numbers:
        assert f"Event {number} has a form that AuthSec does not write" in "".join(report.findings)
    after = database.read(lambda tx: answers(tx, log.covered))
    assert after == {name: log.answers[name] for name in after}
    for name, reader in readers().items():
        if name.startswith("sum"):
            database.read(reader)
    shown = database.read(lambda tx: [as_json(each) for each in audit.page(tx, ANN, limit=201).items])
    assert json.dumps(shown, allow_nan=False, ensure_ascii=False).encode()
    for number, event in zip(reversed(numbers), shown, strict=False):
        assert event["detail"]["problem"].startswith(f"Event {number} was changed in the database and cannot be read.")
    assert roll_up(database, LATER + timedelta(hours=1))
    assert database.damaged is None


FEW = 6  # verify tells ten of many


@pytest.mark.soak
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("planted", (PLANTED | ON_SQLITE).values(), ids=PLANTED | ON_SQLITE)
def test_a_planted_event_is_found_and_ends_no_list(database: Database, planted: Mapping[str, Any]) -> None:
    _check(database, planted)


@pytest.mark.soak
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("first", some_of(range(0, len(PLANTED | ON_SQLITE), FEW), each=9))
def test_some_planted_events_are_found_and_end_no_list(database: Database, first: int) -> None:
    _check(database, *[*(PLANTED | ON_SQLITE).values()][first : first + FEW])


@pytest.mark.soak
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("planted", [PLANTED[name] for name in ON_POSTGRESQL], ids=ON_POSTGRESQL)
def test_what_postgresql_stores_otherwise_is_found_and_ends_no_list(
    database: Database, planted: Mapping[str, Any]
) -> None:
    _check(database, planted)


@pytest.mark.soak  # the same events on SQLite are in every run
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_all_that_postgresql_stores_otherwise_is_found_and_ends_no_list(database: Database) -> None:
    _check(database, *(PLANTED[name] for name in ON_POSTGRESQL))


def test_the_shape_takes_what_the_columns_take() -> None:
    longest = {**TEXTS, **OPTIONAL_TEXTS}
    columns = {each.name: each.type.length for each in events.c if isinstance(each.type, String) and each.type.length}
    assert longest == columns | dict.fromkeys(longest.keys() - columns.keys(), MAX_NAME)
    assert last_uses.c.subject_id.type.length == daily_uses.c.subject_id.type.length == MAX_ID  # type: ignore[attr-defined] # a String
    assert daily_uses.c.action.type.length == MAX_ACTION  # type: ignore[attr-defined] # a String


def test_a_dry_run_takes_tokens_of_very_many_roles(database: Database) -> None:
    fill(database)
    before = database.read(lambda tx: live_tokens.of_clients(tx, LATER, [CLIENTS[0]], lambda _: True))
    for number in range(20):
        roles = [{"id": f"r-{number}-{each}", "name": ""} for each in range(MAX_LISTED)]
        planted = {"id": 900 + number, "roles": canonical_json(roles)}
        database.append(lambda tx, planted=planted: plant(tx, **planted))
    found = database.read(lambda tx: live_tokens.of_clients(tx, LATER, [CLIENTS[0]], lambda _: True))
    assert found.live == before.live  # the planted ones are older than a revocation


def test_a_long_text_is_not_read_whole(database: Database) -> None:
    fill(database)
    database.append(lambda tx: plant(tx, client_name="x" * 5_000_000, address="y"))

    def longest(tx: Tx) -> int:
        with (scan := Scan(tx.connection)).sequential():
            return max(len(str(value)) for event in scan.events() if event.row for value in event.row.values())

    assert database.read(longest) < 20_000


@pytest.mark.parametrize("said", ["a\0b", "\\\0", "\\u0000"])
def test_a_server_writes_no_nul(database: Database, said: str) -> None:
    log = fill(database)
    detail = {"miss": {"selectors": [], "sentence": said}}
    event = Event(
        at=LATER,
        kind=EventKind.TOKEN_REFUSED,
        request_id=f"req_{200:024}",
        decision=Decision.DENIED,
        detail=detail,
    )
    number = database.append(lambda tx: audit.record(tx, event))
    shown = database.read(lambda tx: audit.event(tx, ANN, number))
    assert shown.event.detail["miss"]["sentence"] == said.replace("\0", "\ufffd")
    assert database.read(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=LATER)).findings == ()


def test_two_events_of_many_occurrences_end_no_check_and_no_sum(database: Database) -> None:
    log = fill(database)
    most = 2**62 if database.dialect == "sqlite" else 2**31 - 1
    for number, at in ((900, "2026-11-25 12:01:00.000000"), (901, "2026-11-25 12:01:00.000000"), (902, AT), (903, AT)):
        database.append(lambda tx, number=number, at=at: plant(tx, id=number, at=at, occurrences=most))
    report = database.read(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=LATER + timedelta(hours=1)))
    assert report.findings or report.waiting_since
    for name, reader in readers().items():
        if name.startswith("sum"):
            database.read(reader)


def test_a_dry_run_leaves_out_a_planted_event(database: Database) -> None:
    fill(database)
    before = database.read(lambda tx: audit_live_tokens.of_clients(tx, LATER, CLIENTS))
    database.append(lambda tx: plant(tx, **_detail(audience=5)))
    assert database.read(lambda tx: audit_live_tokens.of_clients(tx, LATER, CLIENTS)) == before


def test_a_planted_event_does_not_count_as_a_use(database: Database) -> None:
    fill(database)
    before = database.read(lambda tx: counts.last_uses(tx, CLIENTS))
    database.append(lambda tx: plant(tx, **_detail(audience=5)))
    assert database.read(lambda tx: counts.last_uses(tx, CLIENTS)) == before


def test_a_planted_namesake_does_not_hide_the_event_of_a_token(database: Database) -> None:
    fill(database)
    database.append(lambda tx: plant(tx, id=-1, jti="00000000000000000000000000000007", **_detail(audience=5)))
    issued = database.read(lambda tx: pages.token_issued(tx.connection, "00000000000000000000000000000007"))
    assert issued is not None
    assert issued.id > 0


PLACES = (
    f"{API}/events",
    f"{API}/events?order=oldest",
    f"{API}/events?limit=1",
    f"{API}/events/sealed",
    f"{API}/events/req_00000000000000000planted",
    "/console",
    "/console/activity",
    "/console/activity/export.csv",
    "/console/activity/export.jsonl",
    "/console/clients/customer-support",
)
WORST: Mapping[str, Mapping[str, Any]] = {
    **{name: PLANTED[name] for name in ("no number", "an audience of lists", "selectors that are numbers")},
    "a token without its end": {"expires_at": None} | _detail(audience=["https://api"]),
    **{name: ON_SQLITE[name] for name in ("a name that is no UTF-8", "a reason that is no UTF-8")},
    "a number of 19 digits": {"id": 2**62},
}
UNSEALED = [name for name in WORST if name != "a token without its end"]


@pytest.mark.parametrize("planted", some_of(WORST.values()), ids=WORST)
def test_the_pages_of_people_go_on(house: Any, planted: Mapping[str, Any]) -> None:
    its = house(local_operator=True)
    door, client = its.door(), its.delegated_name("Customer Support")
    delegation = door.get(f"{API}/delegations").json()["items"][0]["id"]
    number = {"id": 900, **planted}["id"]
    named = canonical_json([{"id": delegation, "name": "D"}])
    its.authority.database.append(lambda tx: plant(tx, client_id=client, delegations=named, **planted))
    its.authority.database.append(
        lambda tx: tx.connection.execute(
            text("INSERT INTO event_delegations (delegation_id, event_id) VALUES (:delegation, :number)"),
            {"delegation": delegation, "number": number},
        )
    )
    for place in (*PLACES, f"/console/delegations/{delegation}", f"{API}/events?cursor={number}"):
        assert door.get(place).status_code == 200, place
    assert door.get(f"/console/activity/{number}").status_code in {200, 409}
    assert door.post(f"{API}/clients/customer-support/disable?dry_run=1").status_code == 200
    assert door.post(f"{API}/delegations/{delegation}/revoke?dry_run=1").status_code == 200
    assert door.post(f"{API}/roles", json={"name": "Another", "actions": ["a:b"]}).status_code == 201


@pytest.mark.parametrize("planted", some_of([WORST[name] for name in UNSEALED]), ids=UNSEALED)
def test_the_sealer_leaves_a_planted_event_out_and_names_it(house: Any, planted: Mapping[str, Any]) -> None:
    its = house(local_operator=True)
    door, sealer, database = its.door(), its.authority.dropper.sealer, its.authority.database
    number = {"id": 900, **planted}["id"]
    database.append(lambda tx: plant(tx, **planted))
    with structlog.testing.capture_logs() as lines:
        its.clock.at += timedelta(minutes=20)
        while sealer.seal():
            pass
    assert [line["number"] for line in lines if "is not sealed" in line["event"]] == [number]
    sealed = door.get(f"{API}/events/sealed").json()["items"]
    assert sealed
    assert number not in {each["id"] for each in sealed}
    its.clock.at += timedelta(minutes=20)
    while sealer.seal():
        pass
    assert any(f"Event {number} " in each for each in _findings(its))


def _findings(its: Any) -> tuple[str, ...]:
    database, keys = its.authority.database, its.authority.dropper.keys()
    return database.read(lambda tx: verify_log(tx, keys, now=its.clock.at)).findings


def test_a_number_that_no_checkpoint_can_name_is_found(database: Database) -> None:
    log = fill(database)
    database.append(lambda tx: plant(tx, id=2**53, detail="{}"))
    report = database.read(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=LATER + timedelta(hours=1)))
    assert any(f"Event {2**53} has a form that AuthSec does not write" in each for each in report.findings)


def test_an_event_of_an_earlier_version_is_taken(database: Database) -> None:
    """Events of before there were `missing`, `smaller` and provenances."""
    fill(database)
    refused = {"kind": "token.refused", "decision": "denied", "reason": "action_not_allowed", "expires_at": None}
    row = {"key": "k8s:ns", "registered": "a", "shown": "b", "agrees": False}
    miss = {"proof_id": "p", "trusted_issuer_id": "s", "sentence": "x", "selectors": [row]}
    asked = {"actions": None, "resources": [], "attestation": "private_key_jwt", "details": ""}
    database.append(lambda tx: plant(tx, **refused, **_detail(**asked)))
    database.append(
        lambda tx: plant(tx, id=901, **refused, **_detail(miss=miss, trusted_issuer={"id": "s", "name": "S"}))
    )
    shown = database.read(lambda tx: audit.page(tx, ANN, EventFilter(client_id=CLIENTS[0]), limit=2).items)
    assert [(each.id, each.event.kind) for each in shown] == [(901, "token.refused"), (900, "token.refused")]
