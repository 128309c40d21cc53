"""`authsec agents`, as a person and as a program use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from authsec.keygen import write_key_pair
from click.testing import Result

Authsec = Callable[..., Result]
SELECTORS = {
    "k8s:ns": "production",
    "k8s:sa": "customer-support-sa",
    "k8s:pod-label:app": "customer-support",
    "k8s:container-name": "agent",
}
# The walk-through's agent, word for word.
CUSTOMER_SUPPORT = [
    "Customer Support",
    "--platform",
    "kubernetes",
    *(part for key, value in SELECTORS.items() for part in ("--selector", f"{key}={value}")),
]


def test_the_walk_throughs_agent(authsec: Authsec) -> None:
    created = authsec("agents", "create", *CUSTOMER_SUPPORT)
    assert created.exit_code == 0, created.output
    agent = json.loads(authsec("agents", "show", "customer-support", "--json").stdout)
    assert {each["key"]: each["value"] for each in agent["proofs"][0]["selectors"]} == SELECTORS
    lines = created.stdout.splitlines()
    assert any(line.split() == ["client_id", agent["client_id"]] for line in lines)
    assert any(line.split() == ["spiffe_id", agent["spiffe_id"]] for line in lines)
    assert "k8s:pod-label:app = customer-support" in created.stdout
    assert "cannot authenticate yet" in created.stdout
    assert "authsec delegations create --role ROLE --agent customer-support" in created.stdout
    assert "--action ACTION" in created.stdout, "the usual example gives no more than one action"
    assert f'AUTHSEC_AGENT_CLIENT_ID="{agent["client_id"]}"' in created.stdout.replace(" = ", "=")


def test_for_programs_there_is_nothing_but_json(authsec: Authsec) -> None:
    created = authsec("agents", "create", "Plain", "--platform", "unattested", "--json")
    assert json.loads(created.stdout)["slug"] == "plain"
    assert created.stderr == ""
    assert json.loads(authsec("agents", "list", "--json").stdout)["items"] == [json.loads(created.stdout)]


def test_every_screen_says_that_an_agent_is_unattested(authsec: Authsec) -> None:
    created = authsec("agents", "create", "Plain", "--platform", "unattested")
    for result in (created, authsec("agents", "show", "plain"), authsec("agents", "list")):
        assert "UNATTESTED" in result.stdout
    assert "anybody who knows its client_id can get its tokens" in created.stdout


def test_ids_are_copied_whole_from_a_narrow_terminal(authsec: Authsec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("authsec_server.cli.output._PIPED_WIDTH", 60)
    created = authsec("agents", "create", "Plain", "--platform", "unattested")
    agent = json.loads(authsec("agents", "show", "plain", "--json").stdout)
    assert f" {agent['spiffe_id']}\n" in created.stdout
    assert f" {agent['client_id']}\n" in created.stdout
    assert agent["client_id"] in authsec("agents", "list").stdout


def test_an_agent_with_a_key(authsec: Authsec, tmp_path: Path) -> None:
    public = write_key_pair(tmp_path / "agent.pem", "ed25519")
    created = authsec("agents", "create", "Billing", "--platform", "key", "--public-key", str(public))
    assert created.exit_code == 0, created.output
    assert "key pair with thumbprint" in created.stdout
    assert "AUTHSEC_AGENT_KEY_FILE" in created.stdout
    assert "cannot check" not in created.stdout


def test_a_key_pair_needs_its_public_half(authsec: Authsec) -> None:
    refused = authsec("agents", "create", "Billing", "--platform", "key")
    assert refused.exit_code == 2
    assert "--platform key needs --public-key FILE." in refused.stderr


def test_a_private_key_does_not_leave_the_machine(authsec: Authsec, tmp_path: Path) -> None:
    private = tmp_path / "agent.pem"
    public = write_key_pair(private, "ed25519")
    refused = authsec("agents", "create", "Billing", "--platform", "key", "--public-key", str(private))
    assert refused.exit_code == 1
    assert "PRIVATE key" in refused.stderr
    assert "It was not sent" in refused.stderr
    assert str(public) in refused.stderr
    assert "request" not in refused.stderr, "there was none"
    assert private.read_text().splitlines()[1] not in refused.output
    assert json.loads(authsec("agents", "list", "--json").stdout)["items"] == []


def test_files_that_are_no_key(authsec: Authsec, tmp_path: Path) -> None:
    large, nonsense = tmp_path / "large", tmp_path / "nonsense"
    large.write_bytes(b"-----BEGIN PUBLIC KEY-----" + b"x" * 20_000)
    nonsense.write_bytes(b"\xff\x00")
    for file, message in (
        (large, "is not a public key"),
        (nonsense, "is not a public key"),
        (tmp_path / "absent", "No such file"),
    ):
        refused = authsec("agents", "create", "Billing", "--platform", "key", "--public-key", str(file))
        assert refused.exit_code == 1
        assert message in refused.stderr


def test_a_mistyped_public_key_is_told_the_nearest_file(authsec: Authsec, tmp_path: Path) -> None:
    for name in ("agent-key.pem", "agent-key.pem.pub", "other.txt"):
        (tmp_path / name).touch()
    mistyped = str(tmp_path / "agent-key.pub")
    refused = authsec("agents", "create", "Billing", "--platform", "key", "--public-key", mistyped)
    assert refused.exit_code == 1
    assert f"The nearest file is {tmp_path / 'agent-key.pem.pub'}." in refused.stderr


def test_a_wrong_selector_is_told_the_right_one_and_leaves_nothing(authsec: Authsec) -> None:
    refused = authsec("agents", "create", *CUSTOMER_SUPPORT, "--selector", "k8s:nss=production")
    assert refused.exit_code == 1
    assert "the nearest is k8s:ns" in refused.stderr
    assert json.loads(authsec("agents", "list", "--json").stdout)["items"] == []
    refused = authsec("agents", "create", "X", "--platform", "kubernetes", "--selector", "k8s:ns")
    assert refused.exit_code == 2
    assert "write KEY=VALUE" in refused.stderr
    for typed, right in (
        ("k8s:ns:production", "k8s:ns=production"),
        ("k8s:pod-label:app:care", "k8s:pod-label:app=care"),
        ("k8s:container-image:registry.example/a:1", "k8s:container-image=registry.example/a:1"),
    ):
        refused = authsec("agents", "create", "X", "--platform", "kubernetes", "--selector", typed)
        assert (refused.exit_code, f"write {right}." in refused.stderr) == (2, True)


def test_a_value_may_hold_an_equals_sign(authsec: Authsec) -> None:
    created = authsec("agents", "create", "X", "--platform", "docker", "--selector", "docker:env:MODE=a=b", "--json")
    assert json.loads(created.stdout)["proofs"][0]["selectors"] == [{"key": "docker:env:MODE", "value": "a=b"}]


def test_a_name_in_place_of_the_slug_is_told_the_slug(authsec: Authsec) -> None:
    authsec("agents", "create", "Customer Support", "--platform", "unattested")
    refused = authsec("agents", "show", "Customer Support")
    assert (refused.exit_code, "the slug is customer-support." in refused.stderr) == (1, True)
    assert "authsec agents list" in authsec("agents", "show", "Nobody").stderr


def test_an_agent_has_the_description_that_its_creation_gives_it(authsec: Authsec) -> None:
    described = ("--owner", "Ann", "--description", "Answers mail.", "--label", "team=care", "--label", "env=dev")
    created = authsec("agents", "create", "Plain", "--platform", "unattested", *described, "--slug", "mail")
    rows = [line.split(maxsplit=1) for line in created.stdout.splitlines()]
    for row in (["owner", "Ann"], ["description", "Answers mail."], ["labels", "env=dev, team=care"]):
        assert row in rows, created.output
    listed = json.loads(authsec("agents", "list", "--label", "team=care", "--json").stdout)["items"]
    assert [each["slug"] for each in listed] == ["mail"]
    refused = authsec("agents", "create", "Other", "--platform", "unattested", "--label", "team")
    assert (refused.exit_code, "write NAME=VALUE" in refused.stderr) == (2, True), refused.output


def test_turning_off_and_on(authsec: Authsec) -> None:
    authsec("agents", "create", "Plain", "--platform", "unattested")
    disabled = authsec("agents", "disable", "plain").stdout
    assert disabled == "plain is disabled and gets no more tokens.\n"
    assert "disabled" in authsec("agents", "list").stdout
    assert "plain is enabled but gets no token, because no live" in authsec("agents", "enable", "plain").stdout
    assert json.loads(authsec("agents", "show", "plain", "--json").stdout)["enabled"] is True


def test_an_agent_that_is_enabled_may_still_get_no_token(authsec: Authsec) -> None:
    authsec("agents", "create", "Pod", "--platform", "kubernetes", "--selector", "k8s:ns=a", "--selector", "k8s:sa=b")
    assert "pod is enabled but cannot authenticate" in authsec("agents", "enable", "pod").stdout
    authsec("agents", "create", "Plain", "--platform", "unattested")
    authsec("roles", "create", "Support", "--action", "a:b")
    target = ("--target", "AutoGen AI agent", "--max-duration", "1h")
    assert authsec("delegations", "create", "--role", "support", "--agent", "plain", "--action", "a:b", *target).stdout
    assert authsec("agents", "enable", "plain").stdout == "plain is enabled and can get tokens.\n"
    assert json.loads(authsec("agents", "enable", "plain", "--json").stdout)["state"] == "ready"


def test_a_name_cannot_write_to_the_terminal(authsec: Authsec) -> None:
    created = authsec("agents", "create", "[red]Bold[/red] [link=x]", "--platform", "unattested")
    assert "[red]Bold[/red] [link=x]" in created.stdout, "markup is text here"
    refused = authsec("agents", "create", "\x1b[2J", "--platform", "unattested")
    assert refused.exit_code == 1
    assert "\x1b[2J" not in refused.output
