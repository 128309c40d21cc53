"""`authsec delegations`, as a person and as a program use it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authsec.keygen import write_key_pair
from authsec_server.delegations.model import TargetType
from click.testing import Result

Authsec = Callable[..., Result]
TARGET = ("--target", "AutoGen AI agent")


@pytest.fixture
def create(authsec: Authsec) -> Callable[..., Result]:
    """`authsec delegations create` for a role and an agent that are there."""
    authsec("roles", "create", "Support", "--action", "customers:read", "--action", "customers:delete")
    authsec("agents", "create", "Plain", "--platform", "unattested")
    return lambda *options: authsec(
        "delegations", "create", "--role", "support", "--client", "plain", *TARGET, *options
    )


def as_json(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    value: dict[str, Any] = json.loads(result.stdout)
    return value


def test_authority_is_delegated(authsec: Authsec, create: Callable[..., Result]) -> None:
    created = create("--action", "customers:read")
    assert created.exit_code == 0, created.output
    assert "max duration     1h" in created.stdout
    assert "plain UNATTESTED" in created.stdout
    assert (
        "! Plain is unattested: anybody who knows its client_id can get tokens for this delegation." in created.stdout
    )
    (delegation,) = as_json(authsec("delegations", "list", "--json"))["items"]
    assert delegation["id"] in created.stdout
    assert delegation["actions"] == ["customers:read"]
    listed = authsec("delegations", "list").stdout
    assert listed.splitlines()[0].split() == ["DELEGATION", "ROLE", "AGENT", "MAX", "STATE", "AUDIENCES", "ACTIONS"]
    assert "plain-support  support  plain UNATTESTED  1h   live   the shared default  customers:read" in listed
    assert authsec("delegations", "show", delegation["id"]).stdout == created.stdout


def test_a_live_delegation_that_grants_nothing_is_marked(authsec: Authsec, create: Callable[..., Result]) -> None:
    mute = as_json(create("--action", "customers:read", "--exclude-proof", "unattested", "--json"))["slug"]
    assert "live, grants nothing" in authsec("delegations", "list").stdout
    authsec("delegations", "revoke", mute, "--yes")
    dormant = as_json(create("--action", "customers:delete", "--json"))["slug"]
    assert "grants nothing" not in authsec("delegations", "list").stdout
    authsec("roles", "edit", "support", "--remove-action", "customers:delete", "--yes")
    shown = authsec("delegations", "show", dormant).stdout
    assert "live, grants nothing" in shown
    assert "! The role Support no longer has the allowed actions, so Plain gets no token by this delegation." in shown


def test_of_one_that_was_revoked_it_is_said_when_and_by_whom(authsec: Authsec, create: Callable[..., Result]) -> None:
    one = as_json(create("--all-actions", "--json"))["slug"]
    assert "ends             when it is revoked\n" in authsec("delegations", "show", one).stdout
    authsec("delegations", "revoke", one, "--yes")
    shown = authsec("delegations", "show", one).stdout
    since = re.search(r"^revoked +(20.* UTC by local operator)$", shown, re.MULTILINE)
    assert since, shown
    assert "when it is revoked" not in shown
    again = authsec("delegations", "revoke", one)  # nothing ends, so nothing is asked
    assert (again.exit_code, again.stdout) == (
        0,
        f"support → plain (audience: the shared default) was already revoked, at {since[1]}.\n",
    )


def test_what_there_is_to_know_is_said_before_it_is_delegated(authsec: Authsec, create: Callable[..., Result]) -> None:
    caution = "! Plain is unattested: anybody who knows its client_id can get tokens for this delegation."
    assert caution in create("--action", "customers:read", "--dry-run").stdout
    slug = as_json(create("--action", "customers:read", "--json"))["slug"]
    assert caution in authsec("delegations", "edit", slug, "--all-actions", "--dry-run").stdout
    assert caution not in authsec("roles", "edit", "support", "--name", "Care", "--dry-run").stdout


def test_a_dry_run_says_that_requests_must_name_a_resource_from_then_on(create: Callable[..., Result]) -> None:
    create("--action", "customers:read", "--audience", "https://crm.example")
    second = create("--action", "customers:read", "--audience", "https://mail.example", "--dry-run").stdout
    assert "must name an API with the parameter `resource`" in " ".join(second.split())


def test_a_narrow_terminal_folds_no_slug_and_hides_no_mark(
    authsec: Authsec, create: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = "a-slug-as-long-as-an-id-which-has-36"
    create("--all-actions", "--slug", one)
    monkeypatch.setattr("authsec_server.cli.output._PIPED_WIDTH", 80)
    checkpoints, row = authsec("delegations", "list").stdout.splitlines()
    assert checkpoints.split() == ["DELEGATION", "ROLE", "AGENT", "MAX", "STATE"]
    assert row.split() == [one, "support", "plain", "UNATTESTED", "1h", "live"]
    assert all(len(line) <= 80 for line in (checkpoints, row))
    monkeypatch.setattr("authsec_server.cli.output._PIPED_WIDTH", 60)
    first, *lines = authsec("delegations", "list").stdout.splitlines()
    assert (first, [line.split(maxsplit=1) for line in lines]) == (
        one,
        [["role", "support"], ["agent", "plain UNATTESTED"], ["max", "1h"], ["state", "live"]],
    )


def test_every_option_reaches_the_authority(create: Callable[..., Result]) -> None:
    delegation = as_json(
        create(
            "--all-actions",
            "--max-duration",
            "90s",
            "--audience",
            "a-api",
            "--audience",
            "b-api",
            "--yes",  # no API is registered
            "--ends-at",
            "2099-12-31T18:00:00Z",
            "--exclude-proof",
            "secret",
            "--require-dpop",
            "--owner",
            "Team Support",
            "--description",
            "For the pilot",
            "--json",
        )
    )
    wanted = {
        "actions": ["customers:delete", "customers:read"],
        "max_duration": 90,
        "audiences": ["a-api", "b-api"],
        "ends_at": "2099-12-31T18:00:00Z",
        "excluded_proofs": ["secret"],
        "require_dpop": True,
        "owner": "Team Support",
        "description": "For the pilot",
    }
    assert {name: delegation[name] for name in wanted} == wanted


def test_a_duration_whose_unit_was_forgotten_is_told_so(create: Callable[..., Result]) -> None:
    refused = create("--all-actions", "--max-duration", "30")
    assert (
        refused.exit_code,
        "'30' is not a duration. Add a unit: 30s, 30m, 30h or 30d." in refused.stderr,
    ) == (2, True)


@pytest.mark.parametrize("command", ["create", "edit", "list"])
def test_help_names_every_target_type(command: str, authsec: Authsec) -> None:
    helped = " ".join(authsec("delegations", command, "--help").stdout.split())
    assert [target for target in TargetType if f'"{target}"' not in helped] == []


@pytest.mark.parametrize(
    ("mistyped", "told"),
    [
        ("autogen", "'autogen' is not a target type; the nearest is AutoGen AI agent."),
        ("My bot", "'My bot' is not a target type."),
    ],
)
def test_a_mistyped_target_type_is_told_its_nearest_only_where_it_is_like_one(
    mistyped: str, told: str, create: Callable[..., Result]
) -> None:
    refused = create("--all-actions", "--target", mistyped)
    assert told in refused.stderr
    assert "One of: AutoGen AI agent, LangChain AI agent" in " ".join(refused.stderr.split())


def test_an_agent_that_proves_itself_is_not_marked(
    authsec: Authsec, create: Callable[..., Result], tmp_path: Path
) -> None:
    public = write_key_pair(tmp_path / "agent.pem", "ed25519")
    authsec("agents", "create", "Billing", "--platform", "key", "--public-key", str(public))
    created = create("--all-actions", "--client", "billing")  # of an option that is given twice, the last one counts
    assert created.exit_code == 0, created.output
    assert "UNATTESTED" not in created.output
    assert "unattested" not in created.output


@pytest.mark.parametrize("options", [(), ("--all-actions", "--action", "customers:read")])
def test_which_actions_must_be_said_in_one_way(create: Callable[..., Result], options: tuple[str, ...]) -> None:
    refused = create(*options)
    assert refused.exit_code == 2
    assert "Give --action (repeat it for several) or --all-actions." in refused.stderr


def test_refusals_say_what_would_help(create: Callable[..., Result]) -> None:
    for options, message in (
        (("--action", "customers:raed"), "the nearest is customers:read"),
        (("--all-actions", "--max-duration", "10d"), "1 minute to 24 hours"),
        (("--all-actions", "--ends-at", "tomorrow"), "e.g. 2026-12-31T18:00:00Z"),
        (("--all-actions", "--exclude-proof", "token"), "One of: selectors, key_pair, enrolled_key, secret"),
    ):
        refused = create(*options)
        assert refused.exit_code == 1
        assert message in refused.stderr
        assert "request id  req_" in refused.stderr
    refused = create("--all-actions", "--max-duration", "1 hour")
    assert refused.exit_code == 2
    assert "is not a duration. Write 1h." in refused.stderr


def test_off_on_and_over(authsec: Authsec, create: Callable[..., Result]) -> None:
    one = as_json(create("--all-actions", "--json"))["id"]
    disabled = authsec("delegations", "disable", one)
    assert disabled.stdout == (
        "support → plain (audience: the shared default) is disabled: no more tokens are issued, and issued tokens "
        "are revoked.\n"
    )
    assert disabled.stderr.startswith("What stops: 1 agent (Plain), no live token")
    assert "support → plain (audience: the shared default) is live" in authsec("delegations", "enable", one).stdout
    assert (
        "support → plain (audience: the shared default) is revoked permanently"
        in authsec("delegations", "revoke", one, "--yes").stdout
    )
    refused = authsec("delegations", "enable", one)
    assert refused.exit_code == 4
    assert "Create a new delegation instead." in refused.stderr
    assert as_json(authsec("delegations", "show", one, "--json"))["state"] == "revoked"


def test_the_same_is_not_delegated_twice(authsec: Authsec, create: Callable[..., Result]) -> None:
    first = as_json(create("--all-actions", "--json"))["slug"]
    again = create("--action", "customers:read", "--action", "customers:delete")
    assert again.exit_code == 4
    assert f"The same trust delegation already exists: {first}. Nothing was created." in again.output
    assert len(as_json(authsec("delegations", "list", "--json"))["items"]) == 1
