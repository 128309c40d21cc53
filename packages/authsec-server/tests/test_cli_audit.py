"""`authsec audit list`, as a person and as a program use it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from authsec_server.cli.audit import _row, decision, what, who
from click.testing import Result
from starlette.testclient import TestClient

Authsec = Callable[..., Result]
TOKENS = "/authsec/uflow/sdk/delegation-token"


def event(**members: Any) -> dict[str, Any]:
    """An event as the API answers it, of which only these members matter."""
    plain: dict[str, Any] = {
        "at": "2026-11-25T12:00:00Z",
        "kind": "token.refused",
        "count": 1,
        "counted": False,
        "request_id": "req_000000000000000000000001",
        "principal": None,
        "client": None,
        "delegations": [],
        "roles": [],
        "subject": None,
        "decision": None,
        "reason": "",
        "address": "192.0.2.1",
        "jti": "",
        "detail": {},
    }
    return plain | members


FIRST_START = ["key.created", "key.created", "feed_key.created", "seal_key.created"]
AGENT = {"id": "6f1d2a34-0000-4000-8000-000000000001", "name": "Customer Support"}
OPERATOR = {"kind": "admin_key", "id": "1", "name": "ops", "role": "admin"}


def test_the_story_is_read_from_top_to_bottom(authsec: Authsec) -> None:
    authsec("roles", "create", "Support", "--action", "customers:read")
    authsec("admin", "create-key", "ci")
    listed = authsec("audit", "list")
    assert listed.exit_code == 0, listed.output
    head, *rows = listed.stdout.splitlines()
    assert head.split() == ["TIME", "(UTC)", "EVENT", "WHO", "WHAT", "DECISION", "JTI", "REQUEST"]
    assert [row.split()[2] for row in rows] == [*FIRST_START, "role.created", "admin_key.created"]
    assert "local operator" in rows[-1]
    assert rows[-1].split()[-1].startswith("req_")


def test_the_newest_and_one_request(authsec: Authsec) -> None:
    for name in ("One", "Two"):
        authsec("roles", "create", name, "--action", "customers:read")
    assert [row.split()[-4] for row in authsec("audit", "list", "--limit", "1").stdout.splitlines()[1:]] == ["Two"]
    items = json.loads(authsec("audit", "list", "--json").stdout)["items"]
    one = next(item for item in items if item["roles"] and item["roles"][0]["name"] == "One")
    found = json.loads(authsec("audit", "list", "--json", "--request-id", one["request_id"]).stdout)["items"]
    assert found == [one]
    assert authsec("audit", "list", "--limit", "201").exit_code == 2
    assert authsec("audit", "list", "--request-id", "no id").exit_code == 1


def test_a_stranger_and_an_unattested_agent(authsec: Authsec, admin: TestClient) -> None:
    """`admin` and `authsec` share the test's data folder."""
    client = admin.post("/authsec/api/v1/clients", json={"name": "Open", "platform": "unattested"}).json()
    admin.post("/authsec/api/v1/roles", json={"name": "Support", "actions": ["customers:read"]})
    delegation = {"role": "support", "client": "open", "target_type": "AutoGen AI agent", "actions": ["customers:read"]}
    made = admin.post("/authsec/api/v1/delegations", json=delegation | {"max_duration": 3600})
    assert made.status_code == 201, made.text
    assert admin.get(TOKENS, params={"client_id": client["client_id"]}).status_code == 200
    for _ in range(3):
        assert admin.get(TOKENS, params={"client_id": AGENT["id"]}).status_code == 404
    rows = authsec("audit", "list", "--limit", "2").stdout.splitlines()[1:]
    assert "Open unattested" in rows[0]
    assert "customers:read at authsec-api" in rows[0]
    jti = rows[0].split()[-2]
    assert len(jti) == 32, "whole, to be copied"
    assert "granted" in rows[0]
    assert rows[1].split()[2:4] == ["(3", "times)"]
    assert "denied client_not_found" in rows[1]
    assert "unattested" not in rows[1]


@pytest.mark.parametrize(
    ("members", "shown"),
    [
        ({"principal": OPERATOR, "client": AGENT}, "ops"),
        ({"client": AGENT, "detail": {"attestation": "key_pair"}}, "Customer Support"),
        ({"client": AGENT, "detail": {"attestation": "none"}}, "Customer Support unattested"),
        ({"client": AGENT | {"name": ""}, "detail": {"attestation": "key_pair"}}, AGENT["id"]),
        ({"client": AGENT}, "192.0.2.1"),  # it named the agent, and did not prove to be it
        ({}, "192.0.2.1"),
        ({"address": ""}, "-"),
    ],
)
def test_who(members: dict[str, Any], shown: str) -> None:
    assert who(event(**members)).plain == shown


@pytest.mark.parametrize(
    ("members", "shown"),
    [
        ({"detail": {"actions": ["a:b", "c:d"], "audience": ["api"]}, "client": AGENT}, "a:b c:d at api"),
        ({"detail": {"actions": ["a:b"], "resources": []}, "client": AGENT}, "a:b"),
        ({"detail": {"actions": None}, "client": AGENT}, "Customer Support"),
        ({"detail": {"actions": None, "attestation": "key_pair"}, "client": AGENT}, "-"),  # the actor is named already
        ({"subject": {"id": "kid", "name": "kid"}}, "kid"),
        ({"kind": "role.created", "roles": [{"id": "1", "name": "S"}], "detail": {"actions": ["a:b"]}}, "S"),
        (
            {"kind": "delegation.revoked", "delegations": [{"id": "1", "name": "Support → A"}], "client": AGENT},
            "Support → A",
        ),
        (
            {"kind": "client.deleted", "delegations": [{"id": "1", "name": "Support → A"}], "client": AGENT},
            "Customer Support",
        ),
        ({}, "-"),
    ],
)
def test_what(members: dict[str, Any], shown: str) -> None:
    assert what(event(**members)).plain == shown


def test_decision() -> None:
    assert decision(event()).plain == "-"
    assert decision(event(decision="granted")).plain == "granted"
    denied = decision(event(decision="denied", reason="attestation_required", count=12))
    assert (denied.plain, denied.style) == ("denied attestation_required", "red")


def test_how_a_tried_token_went() -> None:
    tried = {"kind": "issuer.tried", "detail": {"holds": True, "failed": [], "satisfied": 1}}
    assert decision(event(**tried)).plain == "valid"
    tried["detail"] = {"holds": False, "failed": ["audience", "times"], "satisfied": 0}
    assert decision(event(**tried)).plain == "fails: audience times"


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        ({"miss": {"sentence": "namespace is `a`, registered `b`"}}, "namespace is `a`, registered `b`"),
        ({"failed": "The token's `aud` must be exactly x.\n  volumes:"}, "The token's `aud` must be exactly x."),
    ],
)
def test_what_differed_and_what_failed_stand_beside_the_reason(detail: dict[str, Any], shown: str) -> None:
    refused = event(decision="denied", reason="selectors_mismatch", detail=detail)
    assert str(_row(refused, wide=True)[-3]) == f"denied selectors_mismatch: {shown}"
    assert f"denied selectors_mismatch\n{shown}\nreq_000000000000000000000001" in str(_row(refused, wide=False)[-1])


def test_a_request_that_is_not_found_may_be_counted_with_another(authsec: Authsec) -> None:
    done = authsec("audit", "list", "--request-id", "req_000000000000000000second")
    assert (done.exit_code, done.stdout) == (0, "none\n")
    assert "combined into one event for each minute, with the id of the first request" in done.stderr


def test_in_a_narrow_terminal_all_is_there_below_each_other() -> None:
    row = _row(event(client=AGENT, decision="denied", reason="attestation_required"), wide=False)
    assert str(row[-1]) == "192.0.2.1\nCustomer Support\ndenied attestation_required\nreq_000000000000000000000001"


def test_what_is_counted_by_the_minute_shows_the_minute_and_how_often() -> None:
    def time(**members: Any) -> str:
        return str(_row(event(at="2026-11-25T12:00:00Z", **members), wide=True)[0])

    assert time() == "2026-11-25 12:00:00"
    assert time(counted=True, count=12) == "2026-11-25 12:00 (12 times)"
    assert time(counted=True) == "2026-11-25 12:00 (once)"
    row = _row(event(at="2026-11-25T12:00:00Z", counted=True, count=12), wide=False)
    assert str(row[0]) == "2026-11-25 12:00\n(12 times)"


def test_one_token_one_agent_one_reason(authsec: Authsec, admin: TestClient) -> None:
    for name in ("Open", "Other"):
        admin.post("/authsec/api/v1/clients", json={"name": name, "platform": "unattested"})
    admin.post("/authsec/api/v1/roles", json={"name": "Support", "actions": ["customers:read"]})
    delegation = {"role": "support", "client": "open", "target_type": "AutoGen AI agent", "actions": ["customers:read"]}
    admin.post("/authsec/api/v1/delegations", json=delegation | {"max_duration": 3600})
    ids = {name: admin.get(f"/authsec/api/v1/clients/{name}").json()["client_id"] for name in ("open", "other")}
    for name in ("open", "other"):
        admin.get(TOKENS, params={"client_id": ids[name]})

    def listed(*arguments: str) -> list[tuple[str, str]]:
        items = json.loads(authsec("audit", "list", "--json", *arguments).stdout)["items"]
        return [(each["kind"], each["jti"]) for each in items]

    ((_, jti),) = [each for each in listed("--client", "open") if each[1]]
    assert authsec("revoke", "token", jti).exit_code == 0
    assert listed("--jti", jti) == [("token.revoked", jti), ("token.issued", jti)]
    rows = authsec("audit", "list", "--jti", jti).stdout.splitlines()[1:]
    assert [row.split()[-2] for row in rows] == [jti, jti]
    kinds = [kind for kind, _ in listed("--client", ids["other"])]
    assert kinds == ["token.refused", "client.created"]
    assert [kind for kind, _ in listed("--reason", "no_delegation")] == ["token.refused"]
    assert listed("--reason", "no_delegation", "--client", "open") == []
    assert listed("--limit", "1", "--client", "open") == [("token.revoked", jti)]
    assert authsec("audit", "list", "--client", "nobody").exit_code == 1
    assert "This is not a" in authsec("audit", "list", "--jti", "no word").stderr
    assert "jti " + jti in str(_row(event(jti=jti), wide=False)[-1])


def asked(admin: TestClient) -> str:
    """An agent, a token for it and a refusal; the request id of the refusal."""
    client = admin.post("/authsec/api/v1/clients", json={"name": "Open", "platform": "unattested"}).json()
    admin.post("/authsec/api/v1/roles", json={"name": "Support", "actions": ["customers:read"]})
    delegation = {"role": "support", "client": "open", "target_type": "AutoGen AI agent", "actions": ["customers:read"]}
    admin.post("/authsec/api/v1/delegations", json=delegation | {"max_duration": 3600})
    admin.get(TOKENS, params={"client_id": client["client_id"]})
    wrong = {"client_id": client["client_id"], "resource": "https://other.example"}
    return str(admin.get(TOKENS, params=wrong).json()["request_id"])


def test_what_is_asked_for_by_the_options(authsec: Authsec, admin: TestClient) -> None:
    asked(admin)

    def kinds(*arguments: str) -> list[str]:
        done = authsec("audit", "list", "--json", *arguments)
        assert done.exit_code == 0, done.output
        return [each["kind"] for each in json.loads(done.stdout)["items"]]

    assert kinds("--agent", "open", "--decision", "denied") == ["token.refused"]
    assert kinds("--kind", "role.", "--kind", "delegation.created") == ["delegation.created", "role.created"]
    assert kinds("--kind", "token.", "--since", "1h") == ["token.refused", "token.issued"]
    assert kinds("--kind", "token.", "--until", "1h") == [] == kinds("--address", "192.0.2.99")
    assert kinds("--since", "2000-01-01", "--until", "2000-01-02T00:00:00Z") == []
    assert kinds("--oldest", "--limit", "2", "--by", "server") == ["key.created", "key.created"]
    for line, said in (
        (("--reason", "foo"), "No refusal has the reason 'foo'."),
        (("--reason", "no_delegaton"), "The nearest is no_delegation."),
        (("--kind", "token.refusd"), "There is no event kind 'token.refusd'. The nearest is token.refused."),
        (("--agent", "opne"), "There is no agent or MCP server 'opne'. The nearest is open."),
        (
            ("--agent", "opne"),
            "To search for a deleted client, use its client_id. Find the client_id with: authsec audit list --kind c",
        ),
        (
            ("--agent", "zzz"),
            "See the list: authsec agents list. To search for a deleted client, use its client_id. Find the client_id",
        ),
        (("--delegation", "suport"), "There is no delegation 'suport'."),
    ):
        unknown = authsec("audit", "list", *line)
        assert (unknown.exit_code, said in " ".join(unknown.stderr.split())) == (1, True), unknown.stderr
    assert kinds("--reason", "api_credential_unknown") == kinds("--reason", "attestation_required") == []
    refused = event(kind="token.refused", detail={"actions": None, "resources": ["https://other.example"]})
    assert what(refused).plain == "at https://other.example", "what was asked for, not who asked"
    for typed in ("yesterday", "2026-11-25T08:00:00", "2026-11-31T08:00:00Z", "T"):
        refused = authsec("audit", "list", "--since", typed)
        assert refused.exit_code == 2
        said = f"{typed!r} is not a time; write 2026-11-25T08:00:00Z, 2026-11-25, or 2h for two hours ago."
        assert said in " ".join(refused.stderr.split())
    for wrong, status in (("--since", 2), ("--by", 1), ("--delegation", 1), ("--kind", 1), ("--decision", 2)):
        assert authsec("audit", "list", wrong, "nobody").exit_code == status, wrong


def test_a_support_case_from_its_request_id(authsec: Authsec, admin: TestClient) -> None:
    request_id = asked(admin)
    told = authsec("audit", "show", request_id)
    assert told.exit_code == 0, told.output
    for line in ("denied invalid_target", "To fix", "Open (", request_id, "none yet"):
        assert line in told.stdout, line
    number = json.loads(authsec("audit", "show", request_id, "--json").stdout)["items"][0]["event"]["id"]
    assert authsec("audit", "show", str(number)).stdout == told.stdout
    nothing = authsec("audit", "show", "req_000000000000000000nobodi")
    assert nothing.exit_code == 1
    assert "share one event for each minute" in nothing.stderr
    assert authsec("audit", "show", "../roles").exit_code == 2


def test_all_of_it_to_take_away(authsec: Authsec, admin: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(admin)
    monkeypatch.setattr("authsec_server.cli.audit._PAGE", 2)
    lines = [json.loads(line) for line in authsec("audit", "export").stdout.splitlines()]
    listed = json.loads(authsec("audit", "list", "--json", "--limit", "200").stdout)["items"]
    assert lines == listed[::-1]
    rows = list(csv.DictReader(io.StringIO(authsec("audit", "export", "--format", "csv", "--kind", "role.").stdout)))
    assert [(row["kind"], row["role_names"], row["place"]) for row in rows] == [("role.created", "Support", "")]
