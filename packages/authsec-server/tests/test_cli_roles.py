"""`authsec roles` and `authsec apis`, as a person and as a program use them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from click.testing import Result
from long_runs import some_of

Authsec = Callable[..., Result]


def test_a_role_is_created_listed_and_shown(authsec: Authsec) -> None:
    created = authsec("roles", "create", "Support", "--action", "customers:read", "--action", "customers:delete")
    assert created.exit_code == 0, created.output
    assert "customers:delete, customers:read" in created.stdout
    listed = authsec("roles", "list")
    assert listed.stdout.splitlines()[0].split() == ["ROLE", "NAME", "ACTIONS"]
    assert "support  Support  customers:delete, customers:read" in listed.stdout
    shown = json.loads(authsec("roles", "show", "support", "--json").stdout)
    assert shown["actions"] == ["customers:delete", "customers:read"]
    assert shown["id"] in created.stdout


def test_a_refusal_says_what_would_help_and_under_which_request(authsec: Authsec) -> None:
    refused = authsec("roles", "create", "Support", "--action", "customers:*")
    assert refused.exit_code == 1
    assert refused.stdout == ""
    what, remedy, request = refused.stderr.splitlines()
    assert "ildcards are not supported" in what
    assert "e.g. customers:read" in remedy
    assert request.strip().startswith("request id  req_")
    assert json.loads(authsec("roles", "list", "--json").stdout) == {"items": [], "next": None}


def test_a_taken_slug_is_refused_with_the_option_for_another(authsec: Authsec) -> None:
    create = ("roles", "create", "Support", "--action", "customers:read")
    authsec(*create)
    assert "Choose another slug or name. The option is --slug.\n" in authsec(*create).stderr


@pytest.mark.parametrize("handle", some_of(["../keys", "..", "", "a/b", "support?x=1", "support#x", "%2e%2e"]))
def test_what_was_typed_stays_a_name(authsec: Authsec, handle: str) -> None:
    authsec("roles", "create", "Support", "--action", "customers:read")
    refused = authsec("roles", "show", handle)
    assert refused.exit_code in {1, 2}
    assert "There is no role" in refused.stderr or "neither an id nor a slug" in refused.stderr


def test_lists_go_on(authsec: Authsec) -> None:
    for name in ("alpha", "bravo"):
        authsec("roles", "create", name, "--action", "a:b")
    first = authsec("roles", "list", "--limit", "1")
    assert "alpha" in first.stdout
    told = re.fullmatch(r"There are more entries: --cursor (\S+), or --all\n", first.stderr)
    assert told
    second = authsec("roles", "list", "--cursor", told[1])
    assert "bravo" in second.stdout
    assert second.stderr == ""


def test_an_api_is_registered_listed_and_shown(authsec: Authsec) -> None:
    url = "https://api.example.com/customers"
    created = authsec(
        "apis", "create", "Customers", "--identifier", url, "--action", "customers:read=Read a = customer"
    )
    assert created.exit_code == 0, created.output
    assert url in created.stdout
    assert "customers:read  Read a = customer" in created.stdout
    assert url in authsec("apis", "list").stdout
    shown = json.loads(authsec("apis", "show", "customers", "--json").stdout)
    assert shown["actions"] == [{"action": "customers:read", "description": "Read a = customer"}]


def test_an_action_of_an_api_needs_its_meaning(authsec: Authsec) -> None:
    refused = authsec("apis", "create", "Customers", "--identifier", "customers", "--action", "customers:read")
    assert refused.exit_code == 2
    assert "write ACTION=DESCRIPTION" in refused.stderr
