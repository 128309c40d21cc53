"""`authsec admin`, as a person and as a program use it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from click.testing import Result

Authsec = Callable[..., Result]


def keys(authsec: Authsec) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(authsec("admin", "list-keys", "--json").stdout)["items"]
    return items


def test_the_key_is_alone_on_stdout(authsec: Authsec) -> None:
    """`KEY=$(authsec admin create-key ci)` holds the key and nothing else."""
    created = authsec("admin", "create-key", "ci")
    assert created.exit_code == 0, created.output
    assert re.fullmatch(r"authsec_[A-Za-z0-9_-]{43}\n", created.stdout)
    assert "The admin key ci (admin) is valid until it is revoked." in created.stderr
    assert "limited key: --role operator --expires 30d" in created.stderr
    assert "AUTHSEC_BASE_URL" in created.stderr
    assert 'AUTHSEC_ADMIN_KEY="authsec_…"' in created.stderr.replace(" = ", "=")
    assert created.stdout.strip() not in created.stderr, "what is logged must not hold it"


def test_role_and_end_are_as_asked_for(authsec: Authsec) -> None:
    created = authsec("admin", "create-key", "ci", "--role", "viewer", "--expires", "90d")
    (key,) = keys(authsec)
    assert (key["name"], key["role"]) == ("ci", "viewer")
    assert f"(viewer) is valid until {key['expires_at'][:10]}" in created.stderr
    assert "UTC" in created.stderr
    assert "for good" not in created.stderr


def test_for_programs(authsec: Authsec) -> None:
    created = authsec("admin", "create-key", "ci", "--json")
    assert created.stderr == ""
    made = json.loads(created.stdout)
    assert made.pop("key").startswith("authsec_")
    assert keys(authsec) == [made]


def test_what_cannot_be_made(authsec: Authsec) -> None:
    assert authsec("admin", "create-key", "ci").exit_code == 0
    for arguments, status, said in [
        (["ci"], 4, "An admin key 'ci' already exists"),
        (["\x1b[2J"], 1, "control or invisible characters"),
        (["other", "--role", "root"], 2, "'root' is not one of"),
        (["other", "--expires", "soon"], 2, "Write 90s, 30m, 1h or 7d"),
        (["other", "--expires", "5s"], 1, "1 minute to 10 years"),
        ([], 2, "Missing argument 'NAME'"),
    ]:
        refused = authsec("admin", "create-key", *arguments)
        assert (refused.exit_code, refused.stdout) == (status, ""), arguments
        assert said in refused.stderr
        assert "\x1b[2J" not in refused.stderr
    assert len(keys(authsec)) == 1


def test_the_list_and_an_end(authsec: Authsec) -> None:
    for name in ("second [red]key[/red]", "first"):
        authsec("admin", "create-key", name)
    first, second = keys(authsec)
    listed = authsec("admin", "list-keys").stdout
    assert first["id"] in listed
    assert "second [red]key[/red]" in listed
    assert listed.count("active") == 2

    revoked = authsec("admin", "revoke-key", second["id"], "--yes")
    assert revoked.stdout == "The admin key second [red]key[/red] is revoked.\n"
    assert [key["revoked_at"] is None for key in keys(authsec)] == [True, False]
    assert authsec("admin", "list-keys").stdout.count("revoked") == 1


def test_what_cannot_be_revoked(authsec: Authsec) -> None:
    unknown = authsec("admin", "revoke-key", "6f1d2a34-0000-4000-8000-000000000001")
    assert (unknown.exit_code, "There is no admin key" in unknown.stderr) == (1, True)
    elsewhere = authsec("admin", "revoke-key", "../keys/rotate")
    assert (elsewhere.exit_code, "neither an id nor a slug" in elsewhere.stderr) == (2, True)
