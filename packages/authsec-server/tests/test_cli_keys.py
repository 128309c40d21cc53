"""`authsec keys`, as a person and as a program use it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from click.testing import Result

Authsec = Callable[..., Result]


def states(authsec: Authsec) -> dict[str, str]:
    items = json.loads(authsec("keys", "list", "--json").stdout)["items"]
    return {key["kid"]: key["state"] for key in items}


def test_the_list(authsec: Authsec) -> None:
    listed = authsec("keys", "list")
    assert listed.exit_code == 0, listed.output
    checkpoint, *rows = [line.split() for line in listed.stdout.splitlines()]
    assert checkpoint == ["KEY", "ALGORITHM", "STATE", "SINCE", "(UTC)", "PUBLISHED", "UNTIL", "(UTC)"]
    assert {row[0]: row[2] for row in rows} == states(authsec)
    assert sorted(states(authsec).values()) == ["active", "prepared"]
    assert all(row[-1] == "-" for row in rows)


def test_a_rotation_too_early_says_when(authsec: Authsec) -> None:
    assert authsec("keys", "rotate", "--force").exit_code == 0  # the next key is new now, however old the data is
    before = states(authsec)
    refused = authsec("keys", "rotate")
    assert (refused.exit_code, refused.stdout) == (4, "")
    assert "recently, so some verifiers may not know it yet" in refused.stderr
    assert "or force the rotation" in refused.stderr
    assert "request id  req_" in refused.stderr
    assert states(authsec) == before


def test_a_rotation_by_force(authsec: Authsec) -> None:
    before = states(authsec)
    rotated = authsec("keys", "rotate", "--force")
    assert rotated.exit_code == 0, rotated.output
    after = states(authsec)
    signs = next(kid for kid, state in before.items() if state == "prepared")
    assert rotated.stdout == f"The key {signs} is now the signing key for RS256.\n"
    assert {after[kid] for kid in before} == {"active", "retired"}
    assert sorted(after.values()) == ["active", "prepared", "retired"]
    retired = next(line for line in authsec("keys", "list").stdout.splitlines() if " retired " in line)
    assert not retired.rstrip().endswith("-"), "how long it is published is shown"


def test_the_key_of_the_feed(authsec: Authsec) -> None:
    rotated = authsec("keys", "rotate", "--feed")
    assert rotated.exit_code == 0, rotated.output
    assert re.fullmatch(r"A new key signs the revocation feed from \S+ \S+ UTC on\.\n", rotated.stdout)
    hurried = authsec("keys", "rotate", "--feed", "--force")
    assert (hurried.exit_code, "cannot be forced" in hurried.stderr) == (2, True)


def test_for_programs(authsec: Authsec) -> None:
    rotated = authsec("keys", "rotate", "--force", "--json")
    assert json.loads(rotated.stdout)["state"] == "active"
    assert rotated.stderr == ""


@pytest.mark.parametrize("written", ["EdDSA", "ES256"])
def test_an_algorithm_is_written_as_in_the_header_of_a_token(authsec: Authsec, written: str) -> None:
    made = authsec("apis", "create", "CRM", "--identifier", "crm-api", "--signing-algorithm", written)
    assert made.exit_code == 0, made.output
    listed = json.loads(authsec("keys", "list", "--json").stdout)["items"]
    assert written in {key["algorithm"] for key in listed}
    rotated = authsec("keys", "rotate", "--algorithm", written, "--force")
    assert rotated.exit_code == 0, rotated.output
    assert "RS256, ES256, EdDSA" in " ".join(
        authsec("keys", "rotate", "--algorithm", "RS512").stderr.replace("'", "").split()
    )


def test_a_rotation_at_once_says_who_refuses_and_what_is_left(authsec: Authsec) -> None:
    before = states(authsec)
    asked = authsec("keys", "rotate", "--now")
    assert (asked.exit_code, "nobody could answer" in asked.stderr) == (1, True)
    assert "Other verifiers may refuse new tokens" in asked.stderr
    planned = authsec("keys", "rotate", "--now", "--dry-run")
    assert (planned.exit_code, "What stops: no" in planned.stderr) == (0, True), planned.output
    assert states(authsec) == before
    rotated = authsec("keys", "rotate", "--now", "--yes")
    assert rotated.exit_code == 0, rotated.output
    after = states(authsec)
    new = next(kid for kid, state in after.items() if state == "active")
    assert new not in before
    assert {before[kid]: after[kid] for kid in before} == {"active": "retired", "prepared": "revoked"}
    assert rotated.stdout.startswith(f"The new key {new} is now the signing key for RS256.\n")
    old = next(kid for kid, state in before.items() if state == "active")
    assert f"Tokens of the previous key {old} stay valid." in rotated.stdout
    assert f"authsec keys revoke {old}" in rotated.stdout
    scripted = authsec("keys", "rotate", "--now", "--yes", "--json")
    assert (json.loads(scripted.stdout)["state"], scripted.stderr) == ("active", "")


@pytest.mark.parametrize("other", ["--force", "--feed"])
def test_now_stands_alone(authsec: Authsec, other: str) -> None:
    refused = authsec("keys", "rotate", "--now", other)
    assert (refused.exit_code, "--now stands alone" in refused.stderr) == (2, True)
