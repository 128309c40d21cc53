"""What nobody is called: whoever mistypes is told the nearest name that there is, at every place that asks for one."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
import pytest
from authsec_server.cli import register
from authsec_server.clients import service as clients
from authsec_server.clients.model import Onboarding
from authsec_server.db import Tx
from authsec_server.failures import NotFound
from authsec_server.principal import Act
from authsec_server.suggest import nearest
from click.testing import CliRunner, Result
from long_runs import some_of

Authsec = Callable[..., Result]


ONE_OF_EVERYTHING = (
    "roles create Support --action customers:read",
    "apis create Customers --identifier https://customers.example",
    "agents create Helper --platform unattested",
    "delegations create --role support --agent helper --target 'MCP server' --all-actions",
    "issuers add oidc Forge --issuer https://forge.example --preset github",
    "admin invite bob@example.com --name Bob --role viewer",
    "admin create-key automation",
)


def filled(data: Path, lines: Iterable[str]) -> Path:
    """The data, on which these commands were run."""
    group = click.Group("authsec")
    register(group)
    for line in lines:
        made = CliRunner().invoke(group, [*shlex.split(line), "--data", str(data)], env={"AUTHSEC_ADMIN_KEY": None})
        assert made.exit_code == 0, made.output
    return data


@pytest.fixture(scope="module")
def furnished_data(tmp_path_factory: pytest.TempPathFactory, begun_today: Path) -> Path:
    return filled(shutil.copytree(begun_today, tmp_path_factory.mktemp("data") / "furnished"), ONE_OF_EVERYTHING)


@pytest.fixture
def furnished(authsec: Authsec, tmp_path: Path, furnished_data: Path) -> Authsec:
    """The command, on an authority in which there is one of everything."""
    shutil.copytree(furnished_data, tmp_path, dirs_exist_ok=True)
    return authsec


MISTYPED = {
    "roles show suport": "There is no role 'suport'. The nearest is support.",
    "roles edit Support --name x": "There is no role 'Support'. Names are not accepted here; the slug is support.",
    "roles delete suppotr --yes": "The nearest is support.",
    "apis show custmers": "There is no API 'custmers'. The nearest is customers.",
    "agents show helpr": "There is no agent or MCP server 'helpr'. The nearest is helper.",
    "agents disable hepler": "The nearest is helper.",
    "revoke agent helpre": "The nearest is helper.",
    "delegations show helper-suport": "There is no delegation 'helper-suport'. The nearest is helper-support.",
    "delegations list --role suport": "There is no role 'suport'. The nearest is support.",
    "delegations list --agent helpr": "There is no agent or MCP server 'helpr'. The nearest is helper.",
    "issuers show frge": "There is no trusted issuer 'frge'. The nearest is forge.",
    "agents proofs list helpr": "The nearest is helper.",
    "delegations create --role suport --agent helper --target x --all-actions": "The nearest is support.",
    "audit list --delegation helper-suport": "There is no delegation 'helper-suport'. The nearest is helper-support.",
    "admin disable bob@exmple.com": "There is no administrator 'bob@exmple.com'. The nearest is bob@example.com.",
    "admin disable nobody@example.com": "There is no administrator 'nobody@example.com'. See the list",
    "admin setup-url --email bob@exmple.com": "There is no administrator 'bob@exmple.com'. See the list",
    "roles create X --action a:b,c:d": "a comma does not separate actions. An action has the form resource:action, "
    "with lower-case letters, digits, '.', '_' and '-', e.g. customers:read. Give --action once for each value.",
    "audit list --kind token": "There is no event kind 'token'. Did you mean `token.`? "
    "It matches all kinds that begin with `token.`",
    "admin revoke-key automaton --yes": "There is no admin key 'automaton'. The nearest is automation.",
    "roles edit support --remove-action customers:raed": "customers:raed is not in the list. Nothing was changed. "
    "The nearest is customers:read.",
    "delegations edit helper-support --add-audience x --remove-audience a --remove-audience b": "a, b are not in the "
    "list. Nothing was changed. Current list: -",
    "delegations create --role support --agent helper --target 'MCP server' --all-actions --audience customer": ""
    "There is no API customer; the nearest is customers. Nothing was created. Correct the audience, or register the "
    "API first: authsec apis create NAME --identifier URL. To keep the name as it is: --yes",
    "delegations edit helper-support --add-audience customer": "There is no API customer; the nearest is customers. "
    "Nothing was changed. Correct the audience, or register the API first: authsec apis create",
    "delegations edit helper-support --audience customers --audience customer": "Nothing was changed. Correct",
    "revoke delegation helper --yes": "That is the agent Helper. Its trust delegations: helper-support (the shared "
    "default).",
    "roles show something-else": "There is no role 'something-else'. See the list: authsec roles list",
    "agents show 6f1d2a34-0000-4000-8000-000000000001": "See the list: authsec agents list",
}


@pytest.mark.parametrize("typed", some_of(MISTYPED, each=4))
def test_a_command_names_what_may_have_been_meant(furnished: Authsec, typed: str) -> None:
    refused = furnished(*shlex.split(typed))
    assert refused.exit_code == 1, refused.output
    assert MISTYPED[typed] in " ".join(refused.stderr.split())


@pytest.mark.parametrize("audience", some_of(["customer --yes", "https://customer.example", "billing", "authsec-api"]))
def test_an_audience_that_no_api_has_may_be_meant(furnished: Authsec, audience: str) -> None:
    delegate = "delegations create --role support --agent helper --target 'Other AI agent' --all-actions --audience"
    made = furnished(*shlex.split(f"{delegate} {audience}"))
    assert (made.exit_code, f"audiences        {audience.split()[0]}\n" in made.stdout) == (0, True), made.output


@pytest.mark.parametrize("audience", some_of(["customer --yes", "https://customer.example", "billing", "authsec-api"]))
def test_an_edit_may_name_an_audience_that_no_api_has(furnished: Authsec, audience: str) -> None:
    edited = furnished(*shlex.split(f"delegations edit helper-support --add-audience {audience}"))
    assert (edited.exit_code, f"audiences        {audience.split()[0]}\n" in edited.stdout) == (0, True), edited.output


@pytest.fixture
def without_apis(authsec: Authsec, tmp_path: Path) -> Authsec:
    """The command, on an authority with an agent and its delegation, and no registered API."""
    filled(tmp_path, [line for line in ONE_OF_EVERYTHING if line.startswith(("roles", "agents", "delegations"))])
    return authsec


DELEGATE = "delegations create --role support --agent helper --target 'Other AI agent' --all-actions --audience"


@pytest.mark.parametrize("line", some_of([DELEGATE, "delegations edit helper-support --add-audience"], each=2))
def test_a_name_is_no_audience_before_an_api_is_registered(without_apis: Authsec, line: str) -> None:
    refused = without_apis(*shlex.split(f"{line} crm"))
    assert refused.exit_code == 1, refused.output
    assert "No API is registered yet, and crm is not a URL. Nothing was" in refused.stderr
    listed = json.loads(without_apis("delegations", "list", "--json").stdout)["items"]
    assert [each["audiences"] for each in listed] == [[]]
    meant = without_apis(*shlex.split(f"{line} crm --yes"))
    assert (meant.exit_code, "! No API is registered yet, and crm is not a URL.\n" in meant.stdout) == (0, True)


@pytest.mark.parametrize("audience", some_of(["https://crm.example", "authsec-api"], each=2))
def test_a_url_and_the_default_audience_need_no_api(without_apis: Authsec, audience: str) -> None:
    made = without_apis(*shlex.split(f"{DELEGATE} {audience}"))
    assert (made.exit_code, "is not a URL" in made.output) == (0, False), made.output


def test_an_edit_asks_only_about_the_audiences_that_it_adds(furnished: Authsec) -> None:
    added = furnished(*shlex.split("delegations edit helper-support --add-audience customer --yes"))
    assert "! There is no API customer; the nearest is customers.\n" in added.stdout
    later = furnished(*shlex.split("delegations edit helper-support --add-audience billing"))
    assert (later.exit_code, "There is no API" in later.output) == (0, False), later.output


def test_a_dry_run_of_an_edit_shows_a_mistyped_api_as_a_warning(furnished: Authsec) -> None:
    told = furnished(*shlex.split("delegations edit helper-support --add-audience customer --owner Bob --dry-run"))
    assert told.exit_code == 0, told.output
    assert "! There is no API customer; the nearest is customers.\n" in told.stdout
    assert "Bob" in told.stdout


def test_a_revoked_delegation_is_not_the_nearest_where_another_is_near(furnished: Authsec) -> None:
    delegate = "delegations create --role support --agent helper --target 'MCP server' --all-actions --audience"
    assert furnished(*shlex.split(f"{delegate} customers --slug helper-suppor")).exit_code == 0
    assert furnished("revoke", "delegation", "helper-suppor", "--yes").exit_code == 0
    assert "The nearest is helper-support." in furnished("revoke", "delegation", "helper-suppo", "--yes").stderr


def test_two_delegations_of_one_agent_are_told_apart_by_their_api(furnished: Authsec) -> None:
    delegate = "delegations create --role support --agent helper --target 'MCP server' --all-actions --audience"
    made = furnished(*shlex.split(f"{delegate} customers"))
    assert "slug             helper-support-customers\n" in made.stdout
    revoked = furnished("revoke", "delegation", "helper-support-customers", "--yes")
    which = "support → helper (audience: https://customers.example)"
    assert revoked.stdout.startswith(f"{which} is revoked permanently: ")
    again = furnished("revoke", "delegation", "helper-support-customers", "--yes")
    assert again.stdout.startswith(f"{which} was already revoked, at ")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("delegations edit helper-support --max-duration 2d", "✗ --max-duration must be 1 minute to 24 hours"),
        ("delegations edit helper-support --ends-at tomorrow", "✗ --ends-at must be a time"),
        ("agents edit helper --owner ''", "✗ --owner must not be empty."),
        ("roles create '' --action a:b", "✗ NAME must not be empty."),
        ("admin invite bob --name Bob --role viewer", "✗ EMAIL must be an e-mail address."),
    ],
)
def test_what_is_refused_is_called_as_it_was_typed(furnished: Authsec, typed: str, told: str) -> None:
    refused = furnished(*shlex.split(typed))
    assert (refused.exit_code, refused.stderr[: len(told)]) == (1, told)


def test_a_signing_key_that_was_copied_wrong(authsec: Authsec) -> None:
    kid = json.loads(authsec("keys", "list", "--json").stdout)["items"][0]["kid"]
    refused = authsec("keys", "revoke", kid[:-2] + "xx", "--yes")
    assert (refused.exit_code, f"The nearest is {kid}." in refused.stderr) == (1, True)


@pytest.mark.sqlite_suffices
def test_of_many_those_around_it_are_compared(estate: Any) -> None:
    def create(tx: Tx, act: Act) -> None:
        for number in range(230):
            clients.create(tx, act, Onboarding(name=f"agent-{number:03}-billing", platform="unattested"))

    estate.do(create)

    def told(asked: str) -> str:
        with pytest.raises(NotFound) as caught:
            estate.see(lambda tx, act: clients.get(tx, act, asked))
        return caught.value.remedy

    assert told("agent-117-biling") == "The nearest is agent-117-billing."
    assert told("agent-000-biling") == "The nearest is agent-000-billing."
    assert told("agent-229-biling") == "The nearest is agent-229-billing."
    assert told("zzz") == "See the list: authsec agents list"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("suport", "support"), ("support" * 1000, ""), ("", ""), ("zzz", ""), ("costumers", "customers")],
)
def test_the_nearest(typed: str, meant: str) -> None:
    assert nearest(typed, ["support", "customers"]) == meant
