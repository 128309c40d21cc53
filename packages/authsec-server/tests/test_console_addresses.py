"""Every address of the console: whose role it takes, and what happens to whoever has less."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import pytest
from addresses import (
    ADDRESSES,
    ANYBODY,
    FORM,
    OPERATOR,
    ROLES,
    VIEWER,
    Address,
    Company,
    Example,
    address_of,
    routes_of,
)
from authsec_server.audit.model import EventKind
from authsec_server.db import Tx
from pages import Page, get
from sqlalchemy import inspect
from starlette.testclient import TestClient

House = Any
PASSWORD = "correct horse battery staple"
INSIDE = [each for each in ADDRESSES if each.inside]
STREAM, NOWHERE = "/console/activity/stream", "/console/{path:path}"


class Staff:
    """An authority with one person of each role. They come in by links: hashing passwords would take long."""

    def __init__(self, house: Callable[..., House]) -> None:
        self.people, self._addresses = house(), count(1)
        self.people.authority.readiness.draining = True  # so that the live stream ends at once
        self.company = Company(house(local_operator=True).door(), password=PASSWORD)
        for role in ROLES:
            self.company.post("administrators", name=role.title(), email=f"{role}@example.com", role=role)

    def signed_in(self, role: str) -> TestClient:
        """The browser of the person with that role, who has just come in; of nobody for ANYBODY."""
        door: TestClient = self.people.door(f"192.0.2.{next(self._addresses)}")
        if role != ANYBODY:
            link = self.company.post("setup-links", purpose="sign_in", email=f"{role}@example.com")
            assert get(door, link["path"]).form().send().status == 303
        return door

    def to_look_at(self, address: Address) -> str:
        """The address filled in, for a GET."""
        if "{session}" in address.path or has_new_password(address):
            return self.example(address).way
        return self.company.example_to_look_at(address).way

    def example(self, address: Address, role: str = VIEWER) -> Example:
        """The address filled in; where it is about a session or a password, one of that person's."""
        if "{session}" in address.path:
            page = get(self.signed_in(role), "/console/account")
            self.company.session = next(each.action for each in page.forms if each.action.endswith("/end"))
            self.company.session = self.company.session.split("/")[-2]
        if has_new_password(address):
            link = self.company.post("setup-links", purpose="set_password", email=f"{role}@example.com")
            get(self.people.door(), link["path"]).form().send(password=PASSWORD, again=PASSWORD)
        return self.company.example(address)

    def kept(self) -> dict[str, list[Any]]:
        """All that is stored, but for the records of those who asked for more than they may."""

        def read(tx: Tx) -> dict[str, list[Any]]:
            return {
                name: list(map(tuple, tx.connection.exec_driver_sql(f'SELECT * FROM "{name}"')))
                for name in inspect(tx.connection).get_table_names()
            }

        kept: dict[str, list[Any]] = self.people.authority.database.read(read)
        kept["events"] = [row for row in kept["events"] if EventKind.ADMIN_REFUSED not in row]
        assert len(kept["administrators"]) >= len(ROLES)
        return kept


@pytest.fixture
def staff(house: Callable[..., House]) -> Staff:
    return Staff(house)


def has_new_password(address: Address) -> bool:
    """Whether the person whose example it is has just chosen one, which ends their sessions."""
    return "{password}" in address.typed.values()


def send(door: TestClient, example: Example, body: str) -> Page:
    return Page(door.post(example.path, content=body, headers=FORM, follow_redirects=False), door)


def below(role: str) -> tuple[str, ...]:
    """Those whose role does not reach it; nobody at all comes first."""
    return (ANYBODY, *ROLES[: ROLES.index(role)]) if role else ()


def reaching(role: str) -> tuple[str, ...]:
    """Those whose role reaches it."""
    return ROLES[ROLES.index(role) :] if role in ROLES else ROLES if role else ()


def test_every_route_has_its_example(house: Callable[..., House]) -> None:
    looked = {("GET", each.pattern) for each in ADDRESSES if each.looks}
    sent = {("POST", each.pattern) for each in ADDRESSES if each.sends}
    assert routes_of(house().authority.app) == looked | sent


@pytest.mark.parametrize("share", [6, pytest.param(1, marks=pytest.mark.soak)])
def test_whoever_has_a_lower_role_is_told_so_and_changes_nothing(staff: Staff, share: int) -> None:
    """In short runs, a third of the addresses."""
    doors = {role: staff.signed_in(role) for role in (ANYBODY, VIEWER, OPERATOR)}
    for address in INSIDE[::share]:
        example = staff.example(address)
        way, body = example.way, example.body
        if has_new_password(address):
            doors[VIEWER] = staff.signed_in(VIEWER)
        before = staff.kept()
        for role in below(address.looks):
            turned_away(get(doors[role], way), role, f"{role} looks at {address.path}")
        for role in below(address.sends):
            turned_away(send(doors[role], example, body), role, f"{role} sends {address.path}")
        assert staff.kept() == before, address.path


def turned_away(page: Page, role: str, what: str) -> None:
    """To the sign-in, who is nobody; else to a page in the frame of the console that says what it takes."""
    if role == ANYBODY:
        assert (page.status, urlsplit(page.location).path) == (303, "/console/sign-in"), what
        return
    assert page.status == 403, what
    assert "Not permitted" in page.text, what
    assert f"{role.title()} has the role {role}; this action needs " in page.text, what
    assert "Ask an administrator" in page.text, what
    assert page.links["Dashboard"] == "/console", what


@pytest.mark.parametrize("share", [6, pytest.param(1, marks=pytest.mark.soak)])
def test_whoever_has_the_role_may_look(staff: Staff, share: int) -> None:
    """In short runs, a sixth of the addresses."""
    doors = {role: staff.signed_in(role) for role in ROLES}
    for address in INSIDE[::share]:
        if address.looks:
            way = staff.to_look_at(address)
            if has_new_password(address):
                doors[VIEWER] = staff.signed_in(VIEWER)
            for role in reaching(address.looks):
                assert get(doors[role], way).status == 200, (address.path, role)


@pytest.mark.parametrize("share", [6, pytest.param(1, marks=pytest.mark.soak)])
def test_whoever_has_the_role_may_do(staff: Staff, share: int) -> None:
    """The same forms that changed nothing for those below: so that was not because of the forms.

    In short runs a sixth of them; `test_change_without_a_record.py` sends all, as an admin.
    """
    staff.signed_in(VIEWER)  # a session to end
    for address in INSIDE[::share]:
        if address.sends and not address.needs_phone:
            example = staff.example(address, address.sends)
            door, body = staff.signed_in(address.sends), example.body
            assert example.path, "what it is about is made before what is kept is looked at"
            before = staff.kept()
            page = send(door, example, body)
            assert page.status in {200, 303}, (address.path, page.text)
            assert (staff.kept() != before) is address.changes, address.path


@pytest.mark.parametrize("share", [4, pytest.param(1, marks=pytest.mark.soak)])
def test_nobody_is_offered_what_they_may_not_do(staff: Staff, share: int) -> None:
    """No link and no form leads anybody to a page that says no, or to none. In short runs, a quarter of the pages."""
    for role in (VIEWER, OPERATOR):
        door = staff.signed_in(role)
        for address in INSIDE[::share]:
            if role not in reaching(address.looks) or address.path == STREAM:
                continue
            page = get(door, staff.to_look_at(address))
            for link in page.links.values():
                leads_to = address_of(urlsplit(link).path or address.path)
                assert role in reaching(leads_to.looks), f"{role}: {address.path} leads to {link}"
                assert leads_to.path != NOWHERE, f"{address.path} leads to {link}"
            for form in page.forms:
                leads_to = address_of(urlsplit(form.action).path)
                least = leads_to.sends if form.method == "post" else leads_to.looks
                assert role in reaching(least), f"{role}: {address.path} has a form for {form.action}"
