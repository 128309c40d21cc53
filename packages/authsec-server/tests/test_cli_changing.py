"""Commands that change something: what `--dry-run` says and leaves, edits of every noun, and who was first."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from authsec.lazy_commands import loaded
from authsec_server.app import open_authority
from authsec_server.audit import service as audit
from authsec_server.audit.model import Decision, Event, EventKind, Named
from authsec_server.cli import register
from authsec_server.cli.caller import Caller
from authsec_server.settings import Settings
from click import testing
from click.testing import CliRunner, Result

Authsec = Callable[..., Result]
TARGET = "--target 'AutoGen AI agent'"


@pytest.fixture(scope="module")
def begun_company(tmp_path_factory: pytest.TempPathFactory, begun_today: Path) -> tuple[Path, dict[str, str]]:
    """A folder with one of each thing and a live token of the agent helper; what they are called."""
    folder = tmp_path_factory.mktemp("company")
    shutil.copytree(begun_today, folder, dirs_exist_ok=True)

    def run(line: str) -> Any:
        done = CliRunner().invoke(commands(), [*shlex.split(line), "--json", "--data", str(folder)])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    helper = run("agents create Helper --platform unattested")
    run("roles create 'Role of Helper' --action customers:read --action customers:delete")
    run("roles create Spare --action a:b")
    run("apis create CRM --identifier crm --action 'customers:read=Read one'")
    run("issuers add oidc CI --issuer https://token.actions.githubusercontent.com --preset github")
    run("agents create Legacy --platform secret")
    run("admin invite ann@example.com --name Ann --role admin")
    delegation = run(f"delegations create --role role-of-helper --client helper {TARGET} --action customers:read")
    event = Event(
        at=datetime.now(UTC),
        kind=EventKind.TOKEN_ISSUED,
        request_id="req_000000000000000000000001",
        client=Named(id=helper["client_id"], name="Helper"),
        roles=(Named(id=delegation["role"]["id"], name="Role of Helper"),),
        delegations=(Named(id=delegation["id"], name="Role of Helper → Helper"),),
        decision=Decision.GRANTED,
        authority_version=1,
        jti="6f0d8a2e53ab4d0c9a3e0a5d1c0f7b11",
        expires_at=datetime.now(UTC) + timedelta(hours=1),
        detail={"audience": ["crm"], "actions": ["customers:read"]},
    )
    with open_authority(Settings(data=folder), local_operator=True) as authority:
        authority.database.record(lambda tx: audit.record(tx, event))
    return folder, {
        "jti": event.jti,
        "kid": run("keys list")["items"][0]["kid"],
        "proof": helper["proofs"][0]["id"],
        "delegation": delegation["slug"],
        "key": run("admin create-key ci")["id"],
        "credential": run("apis create-credential crm")["id"],
        "enrolment": run("agents enrolment helper")["id"],
    }


@pytest.fixture
def company(authsec: Authsec, tmp_path: Path, begun_company: tuple[Path, dict[str, str]]) -> dict[str, str]:
    """A company of this test's own, for the commands of `authsec`; what its things are called."""
    assert authsec
    folder, names = begun_company
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return names


def commands() -> click.Group:
    group = click.Group("authsec")
    register(group)
    return group


def told(authsec: Authsec, *line: str) -> Any:
    done = authsec(*line, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


LINES = """
admin change-role ann@example.com viewer
admin create-key other
admin disable ann@example.com
admin enable ann@example.com
admin end-sessions ann@example.com
admin invite bob@example.com --name Bob --role viewer
admin rename ann@example.com Anna
admin reset-second-factor ann@example.com
admin restored --disable helper
admin revoke-grants ann@example.com
admin revoke-key ci
admin setup-url --email ann@example.com
agents create Other --platform unattested
agents delete helper
agents disable helper
agents edit helper --owner Ann --label team=blue
agents enable helper
agents enrolment helper
agents enrolments helper --take-back {enrolment}
agents proofs add helper --platform secret
agents proofs remove helper {proof}
agents revoke-tokens helper
agents rotate-secret legacy --overlap 0s
apis create Other --identifier other
apis create-credential crm --name second
apis delete crm
apis edit crm --add-action customers:delete=Delete
apis revoke-credential crm {credential}
delegations create --role spare --client legacy {target} --all-actions
delegations disable {delegation}
delegations edit {delegation} --max-duration 10m
delegations enable {delegation}
delegations revoke {delegation}
keys revoke {kid} --yes
keys rotate --force
revoke agent helper
revoke delegation {delegation}
revoke token {jti}
roles create Other --action a:b
roles delete spare
roles edit spare --add-action c:d
issuers add kubernetes Other --issuer https://k.example --keys-url https://k.example/jwks
issuers add oidc Other --issuer https://o.example --keys-url https://o.example/jwks --preset github
issuers add spiffe Other --trust-domain example.org --bundle-url https://s.example/bundle
issuers bind ci --all
issuers disable ci
issuers edit ci --name Pipelines
issuers enable ci
issuers remove ci
"""


@pytest.mark.parametrize("share", [6, pytest.param(1, marks=pytest.mark.soak)])
def test_every_change_can_be_rehearsed_and_leaves_nothing(
    authsec: Authsec, company: dict[str, str], share: int
) -> None:
    """In short runs, a sixth of them."""
    lines = [shlex.split(line.format(**company, target=TARGET)) for line in LINES.strip().splitlines()]
    assert sorted(rehearsing(authsec)) == sorted(
        {
            command
            for command in rehearsing(authsec)
            for line in lines
            if line[: len(command.split())] == command.split()
        }
    )
    before = everything(authsec)
    for line in lines[::share]:
        done = authsec(*line, "--dry-run")
        assert done.exit_code == 0, (line, done.output)
        assert done.stdout.startswith(("Nothing was changed", "There are none", "Nothing waits")), (line, done.output)
        assert "authsec_" not in done.output, line
    assert everything(authsec) == before


FOR_GOOD = """
admin restored
admin revoke-key ci
agents delete helper
agents proofs remove helper {proof}
apis delete crm
apis revoke-credential crm {credential}
delegations revoke {delegation}
keys revoke {kid}
revoke delegation {delegation}
roles delete spare
issuers remove ci
"""


@pytest.mark.soak
def test_what_nobody_can_bring_back_is_not_ended_where_nobody_answers(
    authsec: Authsec, company: dict[str, str]
) -> None:
    before = everything(authsec)
    for line in FOR_GOOD.strip().splitlines():
        for options in ((), ("--json",)):
            done = authsec(*shlex.split(line.format(**company)), *options)
            assert (done.exit_code, done.stdout) == (1, ""), (line, done.output)
            assert (
                "Nothing was done, because nobody could answer the question.\n  To run without the question: --yes"
                in done.stderr
            )
    assert everything(authsec) == before


OF_THEIR_OWN = {
    "apply",
    "audit drop",
    "audit rebuild-counts",
    "audit rotate-key",
    "db upgrade",
    "keys change-master-key",
}


def rehearsing(authsec: Authsec) -> list[str]:
    """All commands that have `--dry-run`, but for those that have a way of their own."""
    return [
        name
        for name, command in leaves(commands())
        if any("--dry-run" in each.opts for each in command.params) and name not in OF_THEIR_OWN
    ]


def leaves(group: click.Group, *above: str) -> Iterator[tuple[str, click.Command]]:
    for name, resolved in group.commands.items():
        command = loaded(resolved)
        if isinstance(command, click.Group):
            yield from leaves(command, *above, name)
        else:
            yield " ".join([*above, name]), command


def everything(authsec: Authsec) -> dict[str, Any]:
    lists = ("agents", "issuers", "roles", "apis", "delegations", "keys", "admin", "audit")
    found = {noun: told(authsec, noun, "list") for noun in lists}
    return {**found, "keys of admins": told(authsec, "admin", "list-keys")}


def test_a_rehearsal_says_what_would_differ_and_what_would_stop(authsec: Authsec, company: dict[str, str]) -> None:
    edit = ("roles", "edit", "role-of-helper", "--remove-action", "customers:delete", "--name", "Helpers")
    done = authsec(*edit, "--dry-run")
    assert done.stdout.splitlines()[:2] == ["Nothing was changed. This would happen:", "  role edited: Helpers"]
    assert "    name     Role of Helper → Helpers" in done.stdout.splitlines(), done.stdout
    assert "    actions  - customers:delete" in done.stdout.splitlines()
    assert "What stops: tokens of 1 agent that keeps working (Helper), 1 live token until" in done.stderr
    program = authsec(*edit, "--dry-run", "--json")
    assert (json.loads(program.stdout)["would_answer"]["name"], program.stderr) == ("Helpers", "")
    assert authsec(*edit).exit_code == 0
    assert authsec(*edit[:3], "--name", "Helpers").stderr == "Nothing changed: these are the current values.\n"


def test_who_was_first_is_named(authsec: Authsec, company: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def meanwhile(*_: object, **__: object) -> bool:
        assert authsec("roles", "edit", "role-of-helper", "--description", "Mine", "--yes").exit_code == 0
        return True

    monkeypatch.setattr(testing._NamedTextIOWrapper, "isatty", lambda _: True, raising=False)
    monkeypatch.setattr(click, "confirm", meanwhile)
    done = authsec("roles", "edit", "role-of-helper", "--remove-action", "customers:delete")
    assert done.exit_code == 4, done.output
    assert (
        "This role was changed meanwhile by local operator. Changed: description, at 20" in done.stderr.splitlines()[-3]
    ), done.stderr
    assert "Read the current version, then make your change again." in done.stderr
    assert told(authsec, "roles", "show", "role-of-helper")["actions"] == ["customers:delete", "customers:read"]


def test_what_was_made_under_the_same_name_meanwhile_is_not_edited(
    authsec: Authsec, company: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    patch = Caller.patch

    def late(*arguments: Any, **keywords: Any) -> Any:
        for command in (("delete", "helper", "--yes"), ("create", "Helper", "--platform", "unattested")):
            assert authsec("agents", *command).exit_code == 0
        return patch(*arguments, **keywords)

    monkeypatch.setattr(Caller, "patch", late)
    done = authsec("agents", "edit", "helper", "--owner", "Ann")
    assert done.exit_code == 4, done.output
    assert "A new object has the same name" in done.stderr
    assert told(authsec, "agents", "show", "helper")["owner"] == "local operator"


@pytest.mark.soak
def test_agents_apis_delegations_and_people_are_edited(authsec: Authsec, company: dict[str, str]) -> None:
    authsec("agents", "edit", "helper", "--label", "team=blue", "--label", "env=dev", "--slug", "aide")
    authsec("agents", "edit", "aide", "--label", "team=red", "--remove-label", "env", "--owner", "Ann")
    agent = told(authsec, "agents", "show", "aide")
    assert (agent["labels"], agent["owner"]) == ({"team": "red"}, "Ann")
    authsec("apis", "edit", "crm", "--add-action", "customers:read=Read", "--add-action", "customers:list=List")
    assert told(authsec, "apis", "edit", "crm", "--remove-action", "customers:list", "--name", "Sales")["actions"] == [
        {"action": "customers:read", "description": "Read"}
    ]
    its = ("delegations", "edit", company["delegation"])
    assert len(told(authsec, *its, "--add-action", "customers:delete")["actions"]) == 2
    less = ("--remove-action", "customers:delete", "--audience", "crm", "--slug", "less", "--max-duration", "5m")
    narrower = authsec(*its, *less)
    assert (narrower.exit_code, "1 live token until" in narrower.stderr) == (0, True), narrower.output
    wider = told(authsec, *its[:2], "less", "--all-actions", "--default-audience", "--ends-at", "2099-01-01T00:00:00Z")
    assert (len(wider["actions"]), wider["audiences"], wider["max_duration"]) == (2, [], 300)
    assert told(authsec, *its[:2], "less", "--no-end")["ends_at"] is None
    authsec("admin", "invite", "bob@example.com", "--name", "Bob", "--role", "operator")
    assert told(authsec, "admin", "change-role", "bob@example.com", "viewer")["role"] == "viewer"
    assert (
        authsec("admin", "rename", "bob@example.com", "Robert").stdout == "bob@example.com now has the name Robert.\n"
    )
    for noun, slug in (("apis", "crm"), ("roles", "spare"), ("agents", "aide")):
        assert authsec(noun, "delete", slug, "--yes").exit_code == 0
        assert authsec(noun, "show", slug).exit_code == 1


def test_of_what_is_new_a_dry_run_says_what_it_would_be(authsec: Authsec, company: dict[str, str]) -> None:
    new = f"delegations create --role spare --client helper {TARGET} --all-actions --max-duration 5m --dry-run"
    told = authsec(*shlex.split(new)).stdout.splitlines()
    assert told[1].startswith("  trust delegation created: "), told
    assert {"    actions       a:b", "    max duration  5m"} <= {*told}


def test_what_has_no_name_is_followed_by_no_colon(authsec: Authsec) -> None:
    assert authsec("admin", "setup-url", "--dry-run").stdout.splitlines()[1] == "  administrator link made"


def test_likely_slips(authsec: Authsec, company: dict[str, str]) -> None:
    for line, code, said in (
        ("roles edit spare", 2, "No change was given."),
        (
            "roles edit spare --remove-action a:c",
            1,
            "a:c is not in the list. Nothing was changed.\n  The nearest is a:b.",
        ),
        ("roles edit spare --action a:b --add-action c:d", 2, "not both"),
        ("roles edit Spare --name x", 1, "There is no role"),
        ("roles edit spare --nam x", 2, "--name"),
        ("roles delete role-of-helper", 4, "uses the role"),
        ("apis edit crm --add-action customers:list", 2, "write ACTION=DESCRIPTION"),
        ("agents edit helper --label blue", 2, "write NAME=VALUE"),
        (f"delegations edit {company['delegation']} --no-end --ends-at 2099-01-01T00:00:00Z", 2, "not both"),
        (f"delegations edit {company['delegation']} --all-actions --action a:b", 2, "without other options"),
        ("admin change-role bob@example.com viewer", 1, "There is no administrator"),
        ("admin change-role ann@example.com root", 2, "not one of"),
    ):
        done = authsec(*line.split())
        assert (done.exit_code, said in done.stderr) == (code, True), (line, done.output)


def test_an_agent_and_a_delegation_are_stopped_in_one_place(authsec: Authsec, company: dict[str, str]) -> None:
    done = authsec("revoke", "agent", "helper")
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith("What stops: 1 agent (Helper), 1 live token until ")
    first, undo = done.stdout.splitlines()
    assert first.startswith("Helper is disabled and gets no more tokens. APIs that do not follow ")
    assert "authsec agents enable helper --data" in undo
    assert told(authsec, "agents", "show", "helper")["enabled"] is False
    assert authsec("revoke", "delegation", company["delegation"], "--yes").exit_code == 0
    assert told(authsec, "delegations", "show", company["delegation"])["state"] == "revoked"


def test_lists_are_filtered_and_had_whole(authsec: Authsec, company: dict[str, str]) -> None:
    def slugs(*line: str) -> list[str]:
        return [each["slug"] for each in told(authsec, *line)["items"]]

    assert slugs("agents", "list", "--platform", "secret") == ["legacy"]
    assert slugs("agents", "list", "--disabled") == []
    assert slugs("agents", "list", "--enabled", "--text", "elp") == ["helper"]
    assert slugs("delegations", "list", "--agent", "helper", "--state", "live") == [company["delegation"]]
    assert slugs("delegations", "list", "--role", "spare") == []
    assert slugs("roles", "list", "--limit", "1") == ["role-of-helper"]
    assert slugs("roles", "list", "--all", "--limit", "1") == ["role-of-helper", "spare"]
    unknown = authsec("delegations", "list", "--agent", "nobody")
    assert (unknown.exit_code, "nobody" in unknown.stderr) == (1, True)
