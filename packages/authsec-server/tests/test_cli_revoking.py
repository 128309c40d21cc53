"""`authsec revoke token`, `keys revoke` and `admin revoke-grants`, as a person and as a program use them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

House = Any
Authsec = Callable[..., Result]
INVOKE = CliRunner.invoke
ENDPOINT = "/authsec/uflow/sdk/delegation-token"
STILL_ACCEPTED = "APIs that do not follow the feed may accept"


@pytest.fixture
def its(house: Callable[..., House], authsec: Authsec) -> House:
    """The authority of that data, at the present."""
    assert authsec
    opened = house(local_operator=True)
    opened.clock.at = opened.clock.at.now(opened.clock.at.tzinfo)
    return opened


def issued(its: House, agent: Any) -> tuple[str, str]:
    """A new token, and its jti."""
    proof = {"Authorization": f"Bearer {agent.assertion(its.clock.at)}"}
    answer = its.door().get(ENDPOINT, params={"client_id": agent.client_id}, headers=proof)
    assert answer.status_code == 200, answer.text
    return answer.json()["token"], its.events()[-1].event.jti


def told(authsec: Authsec, *arguments: str) -> Any:
    return json.loads(authsec(*arguments, "--json").stdout)


def test_a_token_by_its_jti(authsec: Authsec, its: House) -> None:
    _, jti = issued(its, its.delegated_agent())
    rehearsed = authsec("revoke", "token", jti, "--dry-run")
    assert f"\n  token revoked: {jti} of Customer Support\n" in rehearsed.stdout
    ended = authsec("revoke", "token", jti, "--reason", "Seen in a chat")
    assert ended.stdout.startswith(f"The token {jti} of Customer Support is revoked. {STILL_ACCEPTED} the token until ")
    assert "What stops: tokens of 1 agent that keeps working (Customer Support), 1 live token until" in ended.stderr
    again = authsec("revoke", "token", jti)
    assert (again.exit_code, again.stderr) == (0, "")
    assert again.stdout.startswith(f"The token {jti} of Customer Support was already revoked, at ")
    assert told(authsec, "revoke", "token", jti)["already"] is True


def test_a_token_from_stdin_and_never_from_the_arguments(
    authsec: Authsec, its: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, jti = issued(its, its.delegated_agent())
    refused = authsec("revoke", "token", token)
    assert refused.exit_code == 2
    assert "Pass it on stdin" in refused.stderr
    monkeypatch.setattr(CliRunner, "invoke", _with_input(f"{token}\n"))
    ended = authsec("revoke", "token", "-")
    assert ended.stdout.startswith(f"The token {jti} of Customer Support is revoked. {STILL_ACCEPTED} the token until ")
    monkeypatch.setattr(CliRunner, "invoke", _with_input(token[:-1]))
    damaged = authsec("revoke", "token", "-")
    assert (damaged.exit_code, damaged.stdout) == (1, "")
    assert "not from this authority" in damaged.stderr
    assert token[:30] not in damaged.output + ended.output


def _with_input(text: str) -> Any:
    return lambda self, *args, **kwargs: INVOKE(self, *args, **{**kwargs, "input": text})


def test_what_is_typed_in_place_of_a_noun_is_not_repeated(authsec: Authsec) -> None:
    for typed in ("customer-support", "eyJhbGciOiJSUzI1NiJ9.eyJqdGkiOiJ4In0.c2lnbmF0dXJl"):
        refused = authsec("revoke", typed)
        assert (refused.exit_code, typed in refused.output) == (2, False)
        assert "Revoke what? Write `agent NAME`, `delegation NAME`, or `token JTI`." in refused.stderr


def test_likely_slips(authsec: Authsec) -> None:
    for arguments, code, said in (
        (("revoke", "token", "nothing"), 1, "has no token"),
        (("keys", "revoke", "-A" + "a" * 41, "--yes"), 1, "There is no signing key"),
        (("admin", "revoke-grants"), 2, "Give either an administrator's EMAIL"),
        (("admin", "revoke-grants", "nobody@example.com"), 1, "There is no administrator"),
    ):
        result = authsec(*arguments)
        assert (result.exit_code, said in result.stderr) == (code, True), result.output


def test_a_key_is_revoked_once_it_is_meant(authsec: Authsec, its: House) -> None:
    issued(its, its.delegated_agent())
    kid = next(key["kid"] for key in told(authsec, "keys", "list")["items"] if key["state"] == "active")
    asked = authsec("keys", "revoke", kid)
    assert asked.exit_code == 1
    assert (
        "Nothing was done, because nobody could answer the question.\n  To run without the question: --yes"
        in asked.stderr
    )
    assert "What stops: tokens of 1 agent that keeps working (Customer Support), 1 live token until" in asked.stderr
    assert f"Revoke the key {kid} permanently?" in asked.stderr
    done = authsec("keys", "revoke", kid, "--yes", "--reason", "Lost")
    assert (done.exit_code, done.stdout) == (0, f"The key {kid} is revoked: its signatures are no longer accepted.\n")
    states = {key["kid"]: key["state"] for key in told(authsec, "keys", "list")["items"]}
    assert (states.pop(kid), sorted(states.values())) == ("revoked", ["active", "prepared"])
    assert " revoked " in authsec("keys", "list").stdout


def test_grants_are_listed_and_then_revoked(authsec: Authsec, its: House, house: Callable[..., House]) -> None:
    key = told(authsec, "admin", "create-key", "pipeline", "--role", "operator")
    agent = its.delegated_agent()
    role = told(authsec, "roles", "list")["items"][0]["slug"]
    asked = {"role": role, "client": agent.client_id, "target_type": "AutoGen AI agent", "max_duration": 600}
    pipeline = house().door(Authorization=f"Bearer {key['key']}")
    made = pipeline.post("/authsec/api/v1/delegations", json=asked | {"actions": ["customers:delete"]}).json()
    shown = authsec("admin", "revoke-grants", "--key", key["id"])
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert f"{made['id']}  {role} → customer-support\n" in shown.stderr
    assert "Revoke this delegation permanently?" in shown.stderr
    done = authsec("admin", "revoke-grants", "--key", key["id"], "--yes")
    assert (done.exit_code, done.stdout) == (0, "1 trust delegation revoked.\n")
    assert authsec("admin", "revoke-grants", "--key", key["id"]).stdout == "There are no delegations to revoke.\n"
    assert told(authsec, "delegations", "show", made["id"])["state"] == "revoked"


def test_what_others_have_changed_since_is_listed_too(
    authsec: Authsec, its: House, house: Callable[..., House]
) -> None:
    key = told(authsec, "admin", "create-key", "pipeline", "--role", "operator")
    its.delegated_agent()
    made = told(authsec, "delegations", "list")["items"][0]["id"]
    authsec("delegations", "disable", made)
    house().door(Authorization=f"Bearer {key['key']}").post(f"/authsec/api/v1/delegations/{made}/enable")
    authsec("delegations", "disable", made)
    shown = authsec("admin", "revoke-grants", "--key", key["id"])
    assert (shown.exit_code, shown.stdout) == (0, "There are no other delegations to revoke.\n")
    assert "Somebody else has changed them since. To revoke them as well: --also-changed-since" in shown.stderr
    assert f"{made}  role-of-customer-support → customer-support (disabled), changed last by " in shown.stderr
    done = authsec("admin", "revoke-grants", "--key", key["id"], "--also-changed-since", "--yes")
    assert (done.stdout, "changed last by" in done.stderr) == ("1 trust delegation revoked.\n", False)
