"""`authsec apis create-credential`, `credentials` and `revoke-credential`, as a person and as a program use them."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from authsec.api_credential import is_api_credential
from click.testing import Result

Authsec = Callable[..., Result]


@pytest.fixture
def crm(authsec: Authsec) -> Authsec:
    """The command, where there is an API."""
    assert authsec("apis", "create", "CRM", "--identifier", "https://crm.example.com").exit_code == 0
    return authsec


def test_it_is_shown_once_alone_on_stdout(crm: Authsec) -> None:
    made = crm("apis", "create-credential", "crm", "--name", "first", "--expires", "90d")
    assert made.exit_code == 0, made.output
    secret = made.stdout.strip()
    assert is_api_credential(secret)
    assert secret not in made.stderr
    assert "The credential first of crm is valid until" in made.stderr
    assert "export AUTHSEC_API_CREDENTIAL=" in made.stderr
    listed = crm("apis", "credentials", "crm")
    assert secret not in listed.output
    checkpoint, row = (line.split() for line in listed.stdout.splitlines())
    assert (checkpoint[0], row[0], row[1], row[-2]) == ("NAME", "first", "active", "-")


def test_one_is_replaced_and_revoked(crm: Authsec) -> None:
    for name in ("old", "new"):
        assert is_api_credential(json.loads(crm("apis", "create-credential", "crm", "--json").stdout)["credential"]), (
            name
        )
    third = crm("apis", "create-credential", "crm")
    assert (third.exit_code, third.stdout) == (4, "")
    assert "authsec apis revoke-credential crm ID" in third.stderr
    old, new = json.loads(crm("apis", "credentials", "crm", "--json").stdout)["items"]
    revoked = crm("apis", "revoke-credential", "crm", old["id"], "--yes")
    assert revoked.exit_code == 0, revoked.output
    assert "is revoked. No token was revoked." in revoked.stdout
    items = json.loads(crm("apis", "credentials", "crm", "--json").stdout)["items"]
    assert [(each["id"], each["state"]) for each in items] == [(old["id"], "revoked"), (new["id"], "active")]
    assert crm("apis", "create-credential", "crm").exit_code == 0


def test_one_is_revoked_by_the_name_that_create_prints(crm: Authsec) -> None:
    made = crm("apis", "create-credential", "crm")
    (name,) = re.findall(r"The credential (\S+) of crm", made.stderr)
    revoked = crm("apis", "revoke-credential", "crm", name, "--yes")
    assert (revoked.exit_code, revoked.stdout) == (
        0,
        f"The credential {name} of crm is revoked. No token was revoked.\n",
    )


def test_it_can_go_into_a_file_and_never_over_one(crm: Authsec, tmp_path: Path) -> None:
    file = tmp_path / "crm credential"
    made = crm("apis", "create-credential", "crm", "--to-file", str(file))
    assert made.exit_code == 0, made.output
    secret = file.read_text().strip()
    assert is_api_credential(secret)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert secret not in made.output
    assert f"export AUTHSEC_API_CREDENTIAL=\"$(cat '{file}')\"" in made.stdout
    again = crm("apis", "create-credential", "crm", "--to-file", str(file))
    assert again.exit_code == 1
    assert "is not overwritten" in again.stderr
    assert "--to-file" in again.stderr
    assert file.read_text().strip() == secret
    elsewhere = tmp_path / "elsewhere"
    assert crm("apis", "create-credential", "nobody", "--to-file", str(elsewhere)).exit_code == 1
    assert not elsewhere.exists()


def test_likely_mistakes(crm: Authsec) -> None:
    unknown = crm("apis", "revoke-credential", "crm", "first")
    assert unknown.exit_code == 1
    assert "authsec apis credentials crm" in unknown.stderr
    assert "authsec apis list" in crm("apis", "create-credential", "billing").stderr
    assert crm("apis", "create-credential", "crm", "--expires", "soon").exit_code == 2
