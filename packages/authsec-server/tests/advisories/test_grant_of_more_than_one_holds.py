"""Somebody gives more than they hold, to themselves or to an accomplice, through whichever door is forgotten.

An operator makes an admin key, invites an admin, raises a role, lets a disabled admin in again, has a link made, or
writes the thing into a configuration that is applied: what comes of it never reaches further than who asked for it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from admin_api import API, ROLES, Estate, estate_of

pytestmark = pytest.mark.sqlite_suffices


@pytest.fixture
def estate(house: Callable[..., Any], database_url: str, tmp_path: Path) -> Estate:
    return estate_of(house, database_url, tmp_path)


def attempts(role: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Every way to have somebody, or something, act with this role."""
    return [
        ("POST", "admin-keys", {"name": f"new {role}", "role": role}),
        ("POST", "administrators", {"email": "mallory@example.com", "name": "Mallory", "role": role}),
        ("PATCH", "administrators/bob@example.com", {"role": role}),
        ("POST", "administrators/ann@example.com/enable", {}),
        ("POST", "setup-links", {"purpose": "sign_in", "email": "ann@example.com"}),
        ("POST", "setup-links", {"purpose": "set_password", "email": "ann@example.com"}),
        ("POST", "setup-links", {"purpose": "first_administrator"}),
    ]


def test_whoever_is_no_admin_gives_nobody_any_role(estate: Estate) -> None:
    """Not even one as small as their own: who may come in is for admins to say."""
    people = estate.door.get(f"{API}/administrators", headers=bearer(estate, "viewer")).json()
    for mine in ("viewer", "operator"):
        for theirs in ROLES:
            for method, path, body in attempts(theirs):
                for query in ("", "?dry_run=1"):
                    answer = ask(estate, mine, method, path + query, body)
                    assert (answer.status_code, answer.json()["reason"]) == (403, "not_permitted"), (mine, path)
    assert estate.door.get(f"{API}/administrators", headers=bearer(estate, "viewer")).json() == people
    names = {key["name"] for key in ask(estate, "viewer", "GET", "admin-keys").json()["items"]}
    assert names == {*ROLES, "gone"}
    _a_configuration_is_no_way_around(estate)


def test_an_admin_key_gives_what_it_holds_and_becomes_nobody(estate: Estate) -> None:
    """It may invite and make keys, which is on record. No link lets it in as somebody who is here already."""
    for method, path, body in attempts("admin"):
        answer = ask(estate, "admin", method, path + "?dry_run=1", body)
        refused = path == "setup-links"
        assert answer.status_code == (403 if refused else 200), path
        assert "code=" not in answer.text


def _a_configuration_is_no_way_around(estate: Estate) -> None:
    """Trusted issuers are an admin's; applying a file of everything is an operator's."""
    trusted_issuer = {
        "name": "Mine",
        "kind": "kubernetes",
        "issuer": "https://mallory.example.com",
        "keys_from": "discovery",
    }
    for body in (
        {"configuration": {"issuers": {"mallory": trusted_issuer}}},
        {"configuration": {"issuers": {}}, "prune": True},
    ):
        for query in ("", "?dry_run=1"):
            answer = ask(estate, "operator", "POST", f"configuration{query}", body)
            assert (answer.status_code, answer.json()["reason"]) == (403, "not_permitted"), answer.text
    slugs = {each["slug"] for each in ask(estate, "viewer", "GET", "issuers").json()["items"]}
    assert slugs == {"cluster", "unused"}


def bearer(estate: Estate, role: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {estate.keys[role]}"}


def ask(estate: Estate, role: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    headers = bearer(estate, role) | ({"If-Match": "*"} if method == "PATCH" else {})
    return estate.door.request(method, f"{API}/{path}", headers=headers, **({} if body is None else {"json": body}))
