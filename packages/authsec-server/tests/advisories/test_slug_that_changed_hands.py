"""Somebody opens a page of one client by its slug. Before they send its form, the slug becomes another client's.

"Delete Helper?" would delete the other one, and a new proof would let whoever holds its key be the other one. What a
page says is done to what it shows: its forms name the id, which never changes hands. So it is with roles and APIs: one
that is made anew under the old slug begins at the old revision, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from authsec.jose import PrivateKey
from authsec_server.apis import service as apis
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client, Onboarding
from authsec_server.delegations import service
from authsec_server.roles import service as roles
from pages import Page, get
from starlette.testclient import TestClient

House = Any
PASSWORD = "correct horse battery staple"
KEY = PrivateKey.generate_ed25519().public.to_pem().decode()


@pytest.fixture
def its(house: Callable[..., House]) -> House:
    """An authority that people sign in to."""
    return house()


@pytest.fixture
def door(its: House) -> TestClient:
    """The browser of an administrator."""
    door: TestClient = its.door()
    form = get(door, f"/console/set-up?code={its.authority.sign_in.first_link().code}").form()
    assert form.send(name="Ada", email="ada@example.com", password=PASSWORD, again=PASSWORD).status == 303
    return door


@pytest.fixture
def change(its: House, act: Any) -> Callable[..., Client]:
    """A change that a colleague makes."""
    return lambda verb, *args, **named: its.authority.database.change(lambda tx: verb(tx, act, *args, **named))


@pytest.mark.parametrize("page", ["disable", "revoke", "delete", "edit", "proofs/add"])
def test_what_is_confirmed_is_done_to_the_client_that_was_shown(
    its: House, door: TestClient, change: Callable[..., Client], page: str
) -> None:
    shown = change(clients.create, Onboarding(name="Helper", platform="unattested"))
    opened = get(door, f"/console/clients/helper/{page}")
    assert opened.status == 200
    change(clients.edit, shown.id, revision=1, changes={"slug": "helper-of-old"})
    other = change(clients.create, Onboarding(name="Payments", slug="helper", platform="unattested"))

    _send(opened, page)

    seen = its.authority.database.read(lambda tx: clients.by_ids(tx, [shown.id, other.id]))
    assert seen[other.id] == other
    if page == "edit":
        return  # refused: the client that was shown is another revision by now
    assert seen.get(shown.id) != shown


def test_a_proof_is_removed_from_the_client_that_was_shown(
    its: House, door: TestClient, change: Callable[..., Client]
) -> None:
    shown = change(clients.create, Onboarding(name="Helper", platform="unattested"))
    opened = get(door, f"/console/clients/helper/proofs/{shown.proofs[0].id}/remove")
    change(clients.edit, shown.id, revision=1, changes={"slug": "helper-of-old"})
    opened.form().send()
    held = its.authority.database.read(lambda tx: clients.by_ids(tx, [shown.id]))[shown.id].proofs
    assert held == ()


@pytest.mark.parametrize("page", ["edit", "delete"])
def test_a_role_made_anew_is_another_role(door: TestClient, change: Callable[..., Any], page: str) -> None:
    shown = change(roles.create, name="Support", actions=["customers:read"])
    opened = get(door, f"/console/roles/support/{page}")
    change(service.delete_role, shown.id)
    other = change(roles.create, name="Support", actions=["payments:make"])
    reviewed = opened.form().send(**{"other_actions": "customers:delete"} if page == "edit" else {})
    assert reviewed.status == 404
    assert change(roles.get, "support") == other


@pytest.mark.parametrize("page", ["edit", "delete"])
def test_an_api_made_anew_is_another_api(door: TestClient, change: Callable[..., Any], page: str) -> None:
    shown = change(apis.create, name="Customers", identifier="https://customers.example.com")
    opened = get(door, f"/console/apis/customers/{page}")
    change(apis.delete, shown.id)
    other = change(apis.create, name="Customers", identifier="https://other.example.com")
    assert opened.form().send().status == 404
    assert change(apis.get, "customers") == other


def _send(opened: Page, page: str) -> None:
    if page == "edit":
        opened.form().send(name="Renamed")
    elif page == "proofs/add":
        opened.form().send(platform="key", public_key=KEY)
    else:
        opened.form().send()
