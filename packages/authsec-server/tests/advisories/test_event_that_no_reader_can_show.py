"""Somebody inserts one event of a valid shape, which the server seals: a list or a dry run fails at it for good.

So every event that `is_event` accepts can be shown by every reader.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from audit_answers import LATER, fill
from authsec_server.audit import export
from authsec_server.audit.event_shape import MAX_NUMBER, OPTIONAL_TEXTS, TEXTS, is_event
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.store import recorded
from authsec_server.audit.views import as_json
from authsec_server.cli import audit as listing
from authsec_server.console.activity import text as activity
from authsec_server.db import Database, Tx
from authsec_server.db.schema import canonical_json
from authsec_server.tokens.hints import remedy_of
from hypothesis import assume, given
from hypothesis import strategies as st
from long_runs import some_of
from sqlalchemy import text

pytestmark = pytest.mark.sqlite_suffices

API = "/authsec/api/v1"
ENDLESS = "9999-01-01 00:00:00.000000"
KINDS = [each.value for each in EventKind]
OF_TOKENS = {EventKind.TOKEN_ISSUED, EventKind.TOKEN_REVOKED}
REASONS = ["selectors_mismatch", "action_not_allowed", "invalid_target", "proof_not_accepted", "unavailable", ""]
MEMBERS = ["actions", "audience", "resources", "missing", "unknown", "smaller", "attestation", "proof_id", "proved_by"]
MEMBERS += [
    "validation",
    "failed",
    "trusted_issuer",
    "miss",
    "revision",
    "before",
    "after",
    "events",
    "rows",
    "operation",
]
MEMBERS += ["details", "holds", "enrolled", "ended", "slug", "gone", "problem", "record", "because"]
IDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=3)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | st.integers(-3, 10**40) | st.text(max_size=3) | FLOATS
NAMED = st.fixed_dictionaries({"id": st.text(max_size=3), "name": st.text(max_size=3)})
DELEGATIONS = st.lists(st.fixed_dictionaries({"id": IDS, "name": st.text(max_size=3)}), max_size=2)
SELECTOR = st.fixed_dictionaries(
    {"key": st.text(max_size=3), "registered": st.text(), "shown": st.text(), "agrees": st.booleans()}
)
MISS = st.dictionaries(st.sampled_from(["sentence", "proof_id"]), st.text(max_size=3)) | st.fixed_dictionaries(
    {"selectors": st.lists(SELECTOR, max_size=2)}
)
VALUES = (
    LEAVES
    | NAMED
    | MISS
    | st.lists(LEAVES, max_size=2)
    | st.lists(st.text(max_size=3), max_size=2)
    | st.dictionaries(st.text(max_size=3), LEAVES, max_size=2)
)
TIMES = st.sampled_from(["0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59.999999+00:00", "2026-11-25T12:00:00+00:00"])
INSTANTS = TIMES.map(datetime.fromisoformat)


WRITABLE = st.characters(exclude_categories=["Cs"], exclude_characters="\0")  # as UTF-8, by PostgreSQL too


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    row: dict[str, Any] = {each: draw(st.just("") | st.text(WRITABLE, max_size=size)) for each, size in TEXTS.items()}
    row |= {each: draw(st.none() | st.text(WRITABLE, max_size=size)) for each, size in OPTIONAL_TEXTS.items()}
    row |= {each: draw(st.just("") | IDS) for each in ("principal_id", "client_id", "subject_id", "kid") if row[each]}
    row["count_key"] = None  # only some kinds of refusals have one
    for thing in ("principal", "client", "subject"):
        named = row[f"{thing}_id"] is not None and row[f"{thing}_name"] is not None
        row |= {} if named else {f"{thing}_id": None, f"{thing}_name": None}
    if not row["principal_id"]:
        row |= dict.fromkeys(("principal_id", "principal_name", "principal_kind", "principal_role"))
    else:
        row |= {"principal_kind": "administrator", "principal_role": "admin"}
    row |= {"id": 1, "kind": draw(st.sampled_from(KINDS)), "request_id": draw(st.sampled_from(["", f"req_{1:024}"]))}
    row["jti"] = draw(st.sampled_from(["", f"{1:032}"])) if row["kind"] in OF_TOKENS else ""
    row["at"] = draw(INSTANTS)
    ends = st.just(row["at"]) if row["kind"] == EventKind.TOKEN_ISSUED else INSTANTS  # no token is valid for long
    row["expires_at"] = draw(st.none() | ends)
    row |= {"reason": draw(st.sampled_from(REASONS)), "decision": draw(st.sampled_from([None, "granted", "denied"]))}
    row |= {"authority_version": draw(st.integers(0, MAX_NUMBER)), "occurrences": draw(st.integers(1, 3))}
    row |= {"delegations": draw(DELEGATIONS), "roles": draw(DELEGATIONS)}
    return row | {"detail": draw(st.dictionaries(st.sampled_from(MEMBERS), VALUES, max_size=4))}


@pytest.mark.soak
@given(row=events())
def test_every_event_of_a_valid_shape_can_be_shown(row: dict[str, Any]) -> None:
    assume(is_event(row))
    its = recorded(SimpleNamespace(**row, _asdict=lambda: row))  # type: ignore[arg-type] # a row of no database
    shown = as_json(its)
    for wide in (True, False):
        assert listing._row(shown, wide=wide)
    remedy = remedy_of(its.event)
    told = {"event": shown, "remedy": remedy and {"text": remedy.text}, "revoked_at": None}
    assert listing._story(told)
    assert list(export.as_csv_lines([shown]))
    assert json.dumps(shown, allow_nan=False)
    assert activity.sentence(its) is not None
    activity.explain_proof(its.event)


PLANTED: Mapping[str, Mapping[str, Any]] = {
    "a miss that is a number": {"kind": "issuer.tried", "detail": {"miss": 5}},
    "an audience that is a number": {"kind": "proof.added", "detail": {"audience": 5}},
    "an audience of objects": {"kind": "proof.added", "detail": {"audience": [{}]}},
    "a trusted issuer that is a text": {"kind": "proof.added", "detail": {"trusted_issuer": "x"}},
    "a trusted issuer whose id is an object": {
        "kind": "proof.added",
        "detail": {"trusted_issuer": {"id": {}, "name": "x"}},
    },
    "a token of an agent without a name": {"kind": "token.issued", "client_name": None},
    "an agent without an id": {"kind": "role.created", "client_id": None, "client_name": "x"},
    "more rows than a number can say": {"kind": "counts.rebuilt", "detail": {"rows": {"x": 10**4000}}},
    "a version beyond all bounds": {"kind": "role.created", "authority_version": MAX_NUMBER + 1},
    "a version below 0": {"kind": "role.created", "authority_version": -1},
}


def plant(tx: Tx, **changes: Any) -> None:
    """Copy an event by raw SQL, with these changes."""
    of_issued = tx.connection.execute(text("SELECT * FROM events WHERE kind = 'token.issued' ORDER BY id LIMIT 1"))
    row = dict(of_issued.mappings().one()) | {"id": 900, "expires_at": ENDLESS, "decision": None, "jti": ""} | changes
    row["detail"] = canonical_json(changes.get("detail", {}))
    names = {name: f":{name}" for name in row}
    if tx.connection.dialect.name == "postgresql":
        names |= {name: f"CAST(:{name} AS timestamptz)" for name in ("at", "expires_at")}
        row |= {"expires_at": f"{ENDLESS}+00"}
    statement = f"INSERT INTO events ({', '.join(names)}) VALUES ({', '.join(names.values())})"
    tx.connection.execute(text(statement), row)


@pytest.mark.parametrize("planted", some_of(PLANTED.values()), ids=PLANTED)
def test_an_event_that_a_reader_fails_at_is_found(database: Database, planted: Mapping[str, Any]) -> None:
    log = fill(database)
    database.append(lambda tx: plant(tx, **planted))
    report = database.read(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=LATER))
    assert any("Event 900 has a form that AuthSec does not write" in each for each in report.findings)


@pytest.mark.parametrize("planted", some_of(PLANTED.values()), ids=PLANTED)
def test_dry_runs_and_lists_go_on(house: Any, planted: Mapping[str, Any]) -> None:
    its = house(local_operator=True)
    door, client = its.door(), its.delegated_name("Customer Support")
    assert door.get("/authsec/uflow/sdk/delegation-token", params={"client_id": client}).status_code == 200
    kid = next(each.event.kid for each in its.events() if each.event.kind is EventKind.TOKEN_ISSUED)
    its.authority.database.append(lambda tx: plant(tx, **planted))
    assert door.post(f"{API}/clients/customer-support/disable?dry_run=1").status_code == 200
    assert door.post(f"{API}/keys/{kid}/revoke?dry_run=1").status_code == 200
    assert door.get(f"{API}/events").status_code == 200
