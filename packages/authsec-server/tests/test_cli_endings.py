"""Each command that ends something says first what stops; whoever sits at a terminal is asked, a script is not."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from authsec_server.audit import service as audit
from authsec_server.audit.model import Decision, Event, EventKind, Named
from authsec_server.revocations import subscribers as followers
from click import testing
from click.testing import CliRunner, Result

House = Any
Authsec = Callable[..., Result]
ENDPOINT = "/authsec/uflow/sdk/delegation-token"


@pytest.fixture
def agent(house: Callable[..., House], authsec: Authsec) -> Any:
    """An agent with a key pair, a delegation and a live token, in the data that the commands work on."""
    assert authsec
    its = house(local_operator=True)
    its.clock.at = its.clock.at.now(its.clock.at.tzinfo)
    made = its.delegated_agent("Helper")
    proof = {"Authorization": f"Bearer {made.assertion(its.clock.at)}"}
    answer = its.door().get(ENDPOINT, params={"client_id": made.client_id}, headers=proof)
    assert answer.status_code == 200, answer.text
    return made


def ids(authsec: Authsec, *command: str) -> str:
    shown = json.loads(authsec(*command, "--json").stdout)
    return str((shown.get("items") or shown["proofs"])[0]["id"])


WHAT = "What stops: 1 agent (Helper), 1 live token until "


def test_every_command_says_it(authsec: Authsec, agent: Any) -> None:
    """In turn: after each of them the token has ended once more, though it is out until it expires."""
    delegation = ids(authsec, "delegations", "list")
    proof = ids(authsec, "agents", "proofs", "list", "helper")
    first = authsec("agents", "revoke-tokens", "helper")
    assert (first.exit_code, first.stdout) == (
        0,
        "The tokens of helper are revoked. The agent can request new tokens.\n",
    )
    assert first.stderr.startswith(WHAT.replace("1 agent", "tokens of 1 agent that keeps working"))
    assert (
        "no API has ever followed the revocation feed for the audience authsec-api "
        "(an API with this audience may accept " in first.stderr
    )
    for command in (
        ("delegations", "disable", delegation),
        ("agents", "proofs", "remove", "helper", proof, "--yes"),
        ("agents", "disable", "helper"),
        ("delegations", "revoke", delegation, "--yes"),
    ):
        done = authsec(*command)
        assert done.exit_code == 0, done.output
        assert "no live token (the last revoked token expires at " in done.stderr, command


def test_tokens_that_an_api_may_still_accept_are_not_said_to_have_ended(authsec: Authsec, agent: Any) -> None:
    delegation = ids(authsec, "delegations", "list")
    for command in (
        ("delegations", "disable", delegation),
        ("revoke", "agent", "helper"),
        ("revoke", "delegation", delegation, "--yes"),
    ):
        done = authsec(*command)
        assert "APIs that do not follow the feed may accept earlier tokens until " in done.stdout, done.output
        assert "have ended" not in done.stdout.splitlines()[0], command


@pytest.mark.parametrize(("typed", "enabled"), [("y\n", False), ("n\n", True), ("", True)])
def test_whoever_sits_there_is_asked(
    authsec: Authsec, agent: Any, monkeypatch: pytest.MonkeyPatch, typed: str, enabled: bool
) -> None:
    delegation = ids(authsec, "delegations", "list")
    at_a_terminal(monkeypatch, typed)
    done = authsec("agents", "disable", "helper")
    assert WHAT in done.stderr
    assert "Disable helper? [y/N]" in done.stderr
    assert done.exit_code == (1 if enabled else 0)
    if enabled:
        assert "Revoke role-of-helper → helper (" in authsec("delegations", "revoke", delegation).stderr
    monkeypatch.undo()
    assert json.loads(authsec("agents", "show", "helper", "--json").stdout)["enabled"] is enabled


def test_yes_is_not_asked_and_programs_read_json_alone(
    authsec: Authsec, agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_a_terminal(monkeypatch, "")
    said = authsec("agents", "disable", "helper", "--yes")
    assert (said.exit_code, said.stderr.startswith(WHAT), "?" in said.stderr) == (0, True, False)
    quiet = authsec("agents", "disable", "helper", "--yes", "--json")
    assert (json.loads(quiet.stdout)["enabled"], quiet.stderr) == (False, "")


def test_secrets_only_where_they_end_at_once(authsec: Authsec) -> None:
    authsec("agents", "create", "Legacy", "--platform", "secret")
    assert "What stops" not in authsec("agents", "rotate-secret", "legacy").stderr
    at_once = ("agents", "rotate-secret", "legacy", "--overlap", "0s")
    assert authsec(*at_once).stderr.startswith("What stops: 1 agent (Legacy), no live token")
    authsec("roles", "create", "Support", "--action", "customers:read")
    delegated = ("--role", "support", "--agent", "legacy", "--target", "Other AI agent", "--all-actions")
    assert authsec("delegations", "create", *delegated).exit_code == 0
    once_more = authsec(*at_once)
    assert once_more.stderr.startswith("What stops: 1 agent (Legacy), no live token"), "the new secret is nowhere yet"


def test_a_trusted_issuer(authsec: Authsec) -> None:
    its = ("--issuer", "https://cluster.example", "--keys-url", "https://cluster.example/jwks", "--preset", "github")
    added = authsec("issuers", "add", "oidc", "Production", *its, "--json")
    assert added.exit_code == 0, added.output
    assert (
        "What stops" not in authsec("issuers", "edit", "production", "--keys-url", "https://cluster.example/k").stderr
    )
    assert authsec("issuers", "show", "production", "--json").stdout.count("https://cluster.example/k") == 1
    for command in ("disable", "remove"):
        done = authsec("issuers", command, "production", "--yes")
        assert (done.exit_code, done.stderr.startswith("What stops: nothing.")) == (0, True), done.output
    assert authsec("issuers", "disable", "production").exit_code == 1, "there is none any more"


def test_the_loss_of_the_only_proof_is_said_by_each_command(authsec: Authsec) -> None:
    """Though nothing is delegated to the agent yet. An agent with another proof loses nothing."""
    its = ("--issuer", "https://token.actions.githubusercontent.com", "--preset", "github")
    authsec("issuers", "add", "oidc", "CI", *its)
    for name in ("Builds", "Twice"):
        authsec("agents", "create", name, "--platform", "oidc", "--selector", "github:repository=acme/shop")
    authsec("agents", "proofs", "add", "twice", "--platform", "secret")
    proof = ids(authsec, "agents", "proofs", "list", "builds")
    for command in (
        ("issuers", "disable", "ci"),
        ("issuers", "remove", "ci", "--with-proofs"),
        ("agents", "disable", "builds"),
        ("agents", "proofs", "remove", "builds", proof),
    ):
        done = authsec(*command, "--dry-run")
        assert done.stderr == "What stops: 1 agent (Builds), no live token.\n", (command, done.output)
    assert authsec("agents", "revoke-tokens", "builds", "--dry-run").stderr == "What stops: nothing.\n"


def test_an_edit_of_a_trusted_issuer_says_it_where_tokens_end(authsec: Authsec, house: Callable[..., House]) -> None:
    its = ("--issuer", "https://token.actions.githubusercontent.com", "--preset", "github")
    authsec("issuers", "add", "oidc", "CI", *its, "--json")
    made = authsec(
        "agents", "create", "Builds", "--platform", "oidc", "--selector", "github:repository=acme/shop", "--json"
    )
    (proof,) = json.loads(made.stdout)["proofs"]
    assert proof["trusted_issuer"] is not None
    event = Event(
        at=datetime.now(UTC),
        kind=EventKind.TOKEN_ISSUED,
        request_id="req_000000000000000000000001",
        client=Named(id=json.loads(made.stdout)["client_id"], name="Builds"),
        decision=Decision.GRANTED,
        authority_version=1_000,
        jti="00000000000000000000000000000001",
        expires_at=datetime.now(UTC) + timedelta(hours=1),
        detail={"audience": ["crm"], "trusted_issuer": {"id": proof["trusted_issuer"]["id"], "name": "CI"}},
    )
    house(local_operator=True).authority.database.record(lambda tx: audit.record(tx, event))
    assert "What stops" not in authsec("issuers", "edit", "ci", "--name", "Pipelines").stderr
    edited = authsec("issuers", "edit", "ci", "--keys-url", "https://elsewhere.example/jwks")
    assert "What stops: 1 agent (Builds), 1 live token until " in edited.stderr


def test_an_api_says_whether_it_learns_of_it(authsec: Authsec, house: Callable[..., House]) -> None:
    assert "not seen yet" in authsec("apis", "create", "CRM", "--identifier", "crm-api").stdout
    assert "not seen yet" in authsec("apis", "list").stdout
    its = house(local_operator=True)
    for now, proved, words in (
        (its.clock.now(), False, "does not follow, last seen 2026-11-25 12:00:00 UTC"),
        (datetime.now(UTC), False, "says it follows"),
        (datetime.now(UTC), True, "revocations        follows"),
    ):
        its.authority.database.append(partial(followers.note, proved={"crm-api": proved}, now=now))
        assert words in authsec("apis", "show", "crm").stdout
        assert f"{now:%Y-%m-%d %H:%M:%S}" in authsec("apis", "list").stdout


def test_an_api_that_is_deleted_says_which_delegations_keep_naming_it(authsec: Authsec) -> None:
    authsec("apis", "create", "CRM", "--identifier", "https://crm.example.com")
    authsec("agents", "create", "Helper", "--platform", "unattested")
    authsec("roles", "create", "Support", "--action", "customers:read")
    delegate = ("--role", "support", "--client", "helper", "--target", "AutoGen AI agent", "--all-actions")
    assert authsec("delegations", "create", *delegate, "--audience", "crm").exit_code == 0
    kept = "Live trust delegations still name the API's audience https://crm.example.com: helper-support.\n"
    assert authsec("apis", "delete", "crm", "--dry-run").stderr.startswith(kept)
    program = authsec("apis", "delete", "crm", "--dry-run", "--json")
    assert (program.exit_code, program.stderr) == (0, "")
    authsec("delegations", "disable", "helper-support")
    assert kept not in authsec("apis", "delete", "crm", "--dry-run").stderr
    authsec("delegations", "enable", "helper-support")
    assert authsec("apis", "delete", "crm", "--yes").stderr.startswith(kept)


def test_where_no_server_is_to_be_seen_it_is_said(
    authsec: Authsec, agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("AUTHSEC_SERVER_PUBLIC_URL", address)
        assert "No server answers" not in authsec("agents", "revoke-tokens", "helper").stderr
    assert (
        f"No server answers at {address}. APIs learn of the change when the server at that address"
        in authsec("agents", "revoke-tokens", "helper").stderr
    )
    monkeypatch.setenv("AUTHSEC_SERVER_PUBLIC_URL", "https://authsec.example.com")
    assert "No server answers" not in authsec("agents", "disable", "helper").stderr, "it cannot be known from here"


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    """Somebody sits there, and types this."""
    invoke = CliRunner.invoke

    def typing(self: CliRunner, *arguments: Any, **options: Any) -> Result:
        return invoke(self, *arguments, input=typed, **options)

    monkeypatch.setattr(CliRunner, "invoke", typing)
    monkeypatch.setattr(testing._NamedTextIOWrapper, "isatty", lambda _: True, raising=False)
