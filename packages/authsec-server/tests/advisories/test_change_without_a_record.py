"""Somebody who administers does something that the audit log does not tell of; or has a colleague do it by a mere link.

Whatever is sent to any address and changes anything leaves a record of the same request, with its name. And looking
changes nothing, wherever a link leads: the cookie goes along with links from everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from addresses import ADDRESSES, ANYBODY, FORM, Address, Company
from authsec_server.db import Tx
from pages import get
from sqlalchemy import inspect
from starlette.testclient import TestClient

House = Any
PASSWORD = "correct horse battery staple"
TOLD_APART = {"events", "authority"}  # the audit log itself, and the version that every change raises
# It changes nothing, and somebody had an agent's credential.
TOLD_ALL_THE_SAME = {
    "/console/issuers/{trusted_issuer}/try",
    "/console/administrators/{administrator}/reset-second-factor",
}


class Office:
    """An authority with an admin, and all that its addresses lead to."""

    def __init__(self, house: Callable[..., House]) -> None:
        self.its = house()
        self.its.authority.readiness.draining = True  # so that the live stream ends at once
        self.company = Company(house(local_operator=True).door(), password=PASSWORD)
        self.company.post("administrators", name="Ada", email="ada@example.com", role="admin")

    def link(self, purpose: str) -> str:
        path: str = self.company.post("setup-links", purpose=purpose, email="ada@example.com")["path"]
        return path

    def admin(self, address: Address) -> TestClient:
        """The browser of the admin; for the page of a password after choosing one."""
        door: TestClient = self.its.door()
        if "{password}" in address.typed.values():
            assert get(door, self.link("set_password")).form().send(password=PASSWORD, again=PASSWORD).status == 303
        assert get(door, self.link("sign_in")).form().send().status == 303
        return door

    def kept(self) -> dict[str, list[Any]]:
        """All that is stored."""

        def read(tx: Tx) -> dict[str, list[Any]]:
            return {
                name: list(map(tuple, tx.connection.exec_driver_sql(f'SELECT * FROM "{name}"')))
                for name in inspect(tx.connection).get_table_names()
            }

        kept: dict[str, list[Any]] = self.its.authority.database.read(read)
        return kept


def another_session(door: TestClient) -> str:
    """The id of a session of the admin's that is not this one."""
    ends = [each.action for each in get(door, "/console/account").forms if each.action.endswith("/end")]
    return ends[0].split("/")[-2]


@pytest.fixture
def office(house: Callable[..., House]) -> Office:
    return Office(house)


@pytest.mark.parametrize("share", [5, pytest.param(1, marks=pytest.mark.soak)])
def test_whatever_changes_anything_is_recorded(office: Office, share: int) -> None:
    """In short runs, a fifth of the forms."""
    silent = []
    changing = [each for each in ADDRESSES if each.inside and each.sends and each.changes][::share]
    for address in changing:
        door = office.admin(address)
        other = office.admin(address) if "/sessions/" in address.path else door  # or there is none to end
        office.company.session = another_session(other) if "{session}" in address.path else ""
        example = office.company.example(address)
        path, body = example.path, example.body
        before = office.kept()
        answer = door.post(path, content=body, headers=FORM, follow_redirects=False)
        after = office.kept()
        changed = {name for name in after if after[name] != before[name]} - TOLD_APART
        told = [each.event for each in office.its.events() if each.event.request_id == answer.headers["X-Request-ID"]]
        recorded = {"Ada"} if changed or address.path in TOLD_ALL_THE_SAME else set()
        assert {event.principal.name for event in told} == recorded, f"{address.path}: {changed}"
        silent += [] if recorded else [address.path]
    # The key and the person delegated nothing, and the administrator has no session: these examples change nothing.
    nothing_to_change = [
        "/console/administrators/keys/{key principal}/grants",
        "/console/administrators/{person principal}/grants",
        "/console/administrators/{administrator}/end-sessions",
    ]
    assert silent == [each.path for each in changing if each.path in nothing_to_change]


@pytest.mark.parametrize("share", [5, pytest.param(1, marks=pytest.mark.soak)])
def test_looking_changes_nothing(office: Office, share: int) -> None:
    """In short runs, a fifth of the addresses."""
    signed_in = office.admin(ADDRESSES[0])
    for address in [each for each in ADDRESSES if each.looks][::share]:
        example = office.company.example_to_look_at(address)
        path, body = example.way, example.body if address.sends else ""
        door = office.admin(address) if "{password}" in address.typed.values() else signed_in
        before = office.kept()
        joint = "&" if "?" in path else "?"
        for way in (path, f"{path}{joint}{body}&_method=POST"):
            for method in ("GET", "HEAD"):
                door.request(method, way, headers={"X-HTTP-Method-Override": "POST"}, follow_redirects=False)
        assert office.kept() == before, address.path


def test_nor_does_it_without_a_session(office: Office) -> None:
    for address in ADDRESSES:
        if address.looks == ANYBODY:
            way = office.company.example_to_look_at(address).way
            before = office.kept()
            office.its.door().get(way, follow_redirects=False)
            assert office.kept() == before, address.path
