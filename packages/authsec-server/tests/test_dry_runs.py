"""`?dry_run=1` on a change: what it would bring about, by making it and undoing it; on either database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authsec_server.db import Database, metadata, rehearsing
from authsec_server.db.database import Tx
from authsec_server.delegations import impact
from authsec_server.delegations.dry_run_impact import impact_as_json
from authsec_server.delegations.impact import Impact
from authsec_server.delegations.model import Terms
from authsec_server.principal import Act
from databases import settings_for
from starlette.testclient import TestClient
from structlog.testing import capture_logs

pytestmark = pytest.mark.sqlite_suffices

API = "/authsec/api/v1/"
House = Any


@pytest.fixture
def its(house: Callable[..., House], database_url: str, tmp_path: Path) -> House:
    """An authority on each database, as its operator has it before them."""
    return house(local_operator=True, **settings_for(database_url, tmp_path))


def all_of_it(its: House) -> dict[str, list[str]]:
    """Every row of every table."""

    def read(tx: Tx) -> dict[str, list[str]]:
        return {
            table.name: sorted(repr(row) for row in tx.connection.execute(table.select()))
            for table in metadata.sorted_tables
        }

    there: dict[str, list[str]] = its.authority.database.read(read)
    return there


def test_a_rehearsal_says_what_the_change_itself_would_and_leaves_nothing(its: House) -> None:
    door, told = its.door(), list[int]()
    role = {"name": "Support", "actions": ["customers:read", "customers:delete"]}
    before = all_of_it(its)
    with its.authority.database.telling(lambda: told.append(1)):
        answer = door.post(f"{API}roles?dry_run=1", json=role)
        assert all_of_it(its) == before
        assert told == []
    assert answer.status_code == 200
    assert "location" not in answer.headers
    foreseen = answer.json()
    assert (foreseen["dry_run"], foreseen["would_stop"]) == (True, None)
    (event,) = foreseen["would_change"]
    assert (event["kind"], event["detail"]["slug"]) == ("role.created", "support")
    made = door.post(f"{API}roles", json=role)
    assert made.status_code == 201
    its_own = {"id", "created_at"}
    would = foreseen["would_answer"]
    assert {**would, **{name: made.json()[name] for name in its_own}} == made.json()
    assert door.post(f"{API}roles?dry_run=1", json=role).json()["reason"] == "conflict"


def test_what_an_edit_would_change_and_stop(its: House) -> None:
    door, agent = its.door(), its.delegated_name("Helper")
    assert door.get("/authsec/uflow/sdk/delegation-token", params={"client_id": agent}).status_code == 200
    (role,) = door.get(f"{API}roles").json()["items"]
    where = f"{API}roles/{role['slug']}"
    asked = {"json": {"actions": ["customers:read"]}, "headers": {"If-Match": '"1"'}}
    foreseen = door.patch(f"{where}?dry_run=1", **asked).json()
    assert foreseen["would_change"][0]["detail"] == {
        "revision": 2,
        "before": {"actions": ["customers:delete", "customers:read"]},
        "after": {"actions": ["customers:read"]},
        "ended": [{"kind": "role", "id": role["slug"]}],
    }
    stops = foreseen["would_stop"]
    assert stops["agents"] == [{"client_id": agent, "name": "Helper", "goes_on": True}]
    assert (stops["live_tokens"], len(stops["delegations"]), stops["apis"][0]["audience"]) == (1, 1, "authsec-api")
    assert (foreseen["would_answer"]["revision"], door.get(where).json()) == (2, role)
    wider = {**asked, "json": {"actions": [*role["actions"], "customers:list"]}}
    assert door.patch(f"{where}?dry_run=1", **wider).json()["would_stop"] is None
    in_use = door.delete(f"{where}?dry_run=1")
    assert (in_use.status_code, in_use.json()["reason"]) == (409, "conflict")


def test_where_nothing_ends_would_stop_is_null(its: House) -> None:
    door = its.door()
    door.post(f"{API}roles", json={"name": "Support", "actions": ["customers:read"]})
    foreseen = door.delete(f"{API}roles/support?dry_run=1").json()
    assert (foreseen["would_change"][0]["kind"], foreseen["would_stop"]) == ("role.deleted", None)


def test_the_version_and_the_feed_stay_what_they_were(database: Database) -> None:
    version = database.read(lambda tx: tx.version)
    assert database.rehearse(lambda tx: tx.version) == version + 1
    assert database.read(lambda tx: tx.version) == version
    with pytest.raises(ZeroDivisionError):
        database.rehearse(lambda tx: 1 // (tx.version - tx.version))


def test_nothing_changes_while_a_rehearsal_is_held(database: Database) -> None:
    with rehearsing():
        for verb in (database.change, database.record):
            with pytest.raises(RuntimeError):
                verb(lambda tx: tx.version)
        assert database.rehearse(lambda tx: tx.version)
    assert database.change(lambda tx: tx.version)


def test_what_is_no_clear_wish_for_a_dry_run_is_refused(its: House) -> None:
    door: TestClient = its.door()
    role = {"name": "Support", "actions": ["customers:read"]}
    for query in ("dry_run=0", "dry_run=true", "dry_run=", "dry_run=1&dry_run=1", "dry_run=1&dry_run=0", "dry-run=1"):
        answer = door.post(f"{API}roles?{query}", json=role)
        assert (answer.status_code, answer.json()["field"]) == (400, query.partition("=")[0]), query
    in_the_body = door.post(f"{API}roles", json=role | {"dry_run": True})
    assert (in_the_body.status_code, in_the_body.json()["field"]) == (400, "dry_run")
    made = door.post(f"{API}roles", json=role).json()
    unheard = door.request("DELETE", f"{API}roles/{made['slug']}", json={"dry_run": True})
    assert (unheard.status_code, unheard.json()["field"]) == (400, "dry_run")
    assert door.get(f"{API}roles?dry_run=1").json()["items"] == [made], "to read changes nothing anyway"


def test_what_stops_is_what_the_pages_say(its: House, act: Act) -> None:
    """A page asks before, by the thing; a rehearsal looks afterwards, at what has ended. Both find the same."""
    door, terms = its.door(), Terms(max_token_lifetime=86_400, default_audience="authsec-api")
    agent = its.delegated_name("Helper")
    role = door.get(f"{API}roles").json()["items"][0]
    client = door.get(f"{API}clients/{agent}").json()
    more = {"role": role["id"], "client": agent, "target_type": "MCP server", "max_duration": 60, "all_actions": True}
    delegation = door.post(f"{API}delegations", json=more).json()["id"]
    assert door.get("/authsec/uflow/sdk/delegation-token", params={"client_id": agent}).status_code == 200
    (proof,), narrower = client["proofs"], ["customers:read"]
    kid = next(key["kid"] for key in door.get(f"{API}keys").json()["items"] if key["state"] == "active")
    asked: dict[str, tuple[str, Callable[[Tx], Impact]]] = {
        f"clients/{agent}/disable": ("POST", lambda tx: impact.of_client(tx, act, agent, terms)),
        f"clients/{agent}": ("DELETE", lambda tx: impact.of_client(tx, act, agent, terms)),
        f"clients/{agent}/proofs/{proof['id']}": (
            "DELETE",
            lambda tx: impact.of_proof(tx, act, agent, proof["id"]),
        ),
        f"delegations/{delegation}/disable": (
            "POST",
            lambda tx: impact.of_delegation(tx, act, delegation, terms),
        ),
        f"roles/{role['slug']}": ("PATCH", lambda tx: impact.of_role_edit(tx, act, role["id"], narrower, terms)),
        f"keys/{kid}/revoke": ("POST", lambda tx: impact.of_key(tx, act, kid)),
    }
    for path, (method, question) in asked.items():
        sent = {"json": {"actions": narrower}, "headers": {"If-Match": "*"}} if method == "PATCH" else {}
        foreseen = door.request(method, f"{API}{path}?dry_run=1", **sent)
        assert foreseen.status_code == 200, (path, foreseen.text)
        said = impact_as_json(its.authority.database.read(question), its.clock.at)
        assert said["live_tokens"] == 1, path
        assert in_order(foreseen.json()["would_stop"]) == in_order(said), path


def in_order(stops: Any) -> Any:
    """The same, whichever of the delegations comes first."""
    return {**stops, "delegations": sorted(stops["delegations"], key=lambda each: str(each["id"]))}


def test_who_rehearsed_is_in_the_log_for_others_waited_for_it(its: House) -> None:
    with capture_logs() as lines:
        refused = its.door().post(f"{API}roles?dry_run=1", json={"name": "Support", "actions": ["*"]})
    (line,) = [each for each in lines if each["event"] == "dry run"]
    assert (line["request_id"], line["operation"]) == (refused.headers["X-Request-ID"], "createRole")
    assert line["by"] == "local_operator"
