"""Administrators, on both databases: inviting, changing, shutting out, and who may."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.accounts import administrators, sessions
from authsec_server.accounts.model.administrators import Administrator, LinkStatus, checked_email, read_email
from authsec_server.audit.model import EventKind, Named
from authsec_server.failures import Conflict, Invalid, NotFound, NotPermitted, Outdated
from authsec_server.principal import LOCAL_OPERATOR, Principal, PrincipalKind, Role
from authsec_server.web.errors import Unauthenticated
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.sqlite_suffices

Entrance = Any
ADMIN_KEY = Principal(
    kind=PrincipalKind.ADMIN_KEY, id="6f1d2a34-0000-4000-8000-000000000001", name="ci", role=Role.ADMIN
)


def test_an_invitation(entrance: Entrance) -> None:
    ann = entrance.first()
    act = entrance.act(ann)
    bob, link = entrance.database.change(
        lambda tx: administrators.invite(tx, act, email=" Bob@Example.COM ", name="Bob", role=Role.OPERATOR)
    )
    assert (bob.email, bob.role, bob.can_sign_in, bob.revision) == ("bob@example.com", Role.OPERATOR, False, 1)
    state = entrance.sign_in.find_link(link.code)
    assert (state.status, state.administrator) == (LinkStatus.OPEN, bob)
    assert state.expires_at == entrance.clock.at + timedelta(hours=24)
    came = entrance.sign_in.set_password(link.code, password="kiosk tram violet", caller=entrance.caller())
    assert came.administrator == replace(bob, has_password=True)
    assert entrance.principal(came.cookie).name == "Bob"
    invited = next(each.event for each in entrance.events() if each.event.kind is EventKind.ADMINISTRATOR_INVITED)
    assert (invited.principal, invited.subject) == (act.principal, Named(id=bob.id, name="Bob"))
    assert invited.detail == {"email": "bob@example.com", "role": "operator"}
    assert link.code not in repr(entrance.events()) + repr(link)


@pytest.mark.parametrize(
    ("email", "normal"),
    [
        ("Ann@Example.com", "ann@example.com"),
        ("  ann@example.com\t", "ann@example.com"),
        ("a\u0308nn@example.com", "änn@example.com"),
        ("İnci@example.com", "i̇nci@example.com"),
        ("a" * 242 + "@example.com", "a" * 242 + "@example.com"),
    ],
)
def test_addresses_in_their_normal_form(email: str, normal: str) -> None:
    assert checked_email("email", email) == normal


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ann",
        "@example.com",
        "ann@",
        "a@b@c",
        "a b@c",
        "ann@exa\0mple",
        "a\u202e@b",
        "a,b@c",
        "a" * 243 + "@example.com",
    ],
)
def test_addresses_that_are_none(email: str) -> None:
    with pytest.raises(Invalid) as refused:
        checked_email("address", email)
    assert refused.value.field == "address"


@given(st.text(max_size=40), st.text(max_size=40))
def test_the_normal_form_is_final(local: str, domain: str) -> None:
    address = read_email(f"{local}@{domain}")
    if address is not None:
        assert read_email(address) == address
        assert address == address.strip()


def test_an_address_is_given_once(entrance: Entrance) -> None:
    ann = entrance.first()
    act = entrance.act(ann)
    bob = entrance.another("bob@example.com").administrator
    with pytest.raises(Conflict, match=r"ann@example\.com already"):
        entrance.database.change(
            lambda tx: administrators.invite(tx, act, email="ANN@example.com", name="A", role=Role.VIEWER)
        )
    with pytest.raises(Conflict, match=r"ann@example\.com already"):
        entrance.database.change(lambda tx: administrators.change_email(tx, act, bob.id, "Ann@example.com", revision=1))
    moved = entrance.database.change(
        lambda tx: administrators.change_email(tx, act, bob.id, "Robert@example.com", revision=1)
    )
    assert moved.email == "robert@example.com"
    assert entrance.sign_in.by_password("robert@example.com", entrance.password, entrance.caller())


def test_a_change_says_what_was_and_what_is(entrance: Entrance) -> None:
    act = entrance.act(entrance.first())
    bob = entrance.another("bob@example.com", Role.VIEWER).administrator
    renamed = entrance.database.change(lambda tx: administrators.rename(tx, act, bob.id, "Robert", revision=1))
    assert (renamed.name, renamed.revision, renamed.changed_by) == ("Robert", 2, "Ann")
    raised = entrance.database.change(
        lambda tx: administrators.change_role(tx, act, "bob@example.com", Role.ADMIN, revision=2)
    )
    assert (raised.role, raised.revision) == (Role.ADMIN, 3)
    details = [each.event.detail for each in entrance.events() if each.event.kind is EventKind.ADMINISTRATOR_CHANGED]
    assert details == [
        {"revision": 2, "before": {"name": "Another"}, "after": {"name": "Robert"}},
        {"revision": 3, "before": {"role": "viewer"}, "after": {"role": "admin"}},
    ]


def test_two_editors(entrance: Entrance) -> None:
    act = entrance.act(entrance.first())
    bob = entrance.another("bob@example.com").administrator
    change = entrance.database.change
    change(lambda tx: administrators.rename(tx, act, bob.id, "Robert", revision=1))
    for late in (
        lambda tx: administrators.rename(tx, act, bob.id, "Bobby", revision=1),
        lambda tx: administrators.change_role(tx, act, bob.id, Role.VIEWER, revision=1),
        lambda tx: administrators.change_email(tx, act, bob.id, "b@example.com", revision=1),
    ):
        with pytest.raises(Outdated) as outdated:
            change(late)
        assert (outdated.value.by, outdated.value.at) == ("Ann", entrance.clock.at)


def test_what_changes_nothing_is_no_event(entrance: Entrance) -> None:
    act = entrance.act(entrance.first())
    before = len(entrance.events())
    for nothing in (
        lambda tx: administrators.rename(tx, act, "ann@example.com", " Ann ", revision=1),
        lambda tx: administrators.enable(tx, act, "ann@example.com"),
    ):
        assert entrance.database.change(nothing).revision == 1
    assert len(entrance.events()) == before


def test_a_role_that_the_administrator_has_already_is_recorded(entrance: Entrance) -> None:
    act = entrance.act(ann := entrance.first())
    entrance.database.change(lambda tx: administrators.change_role(tx, act, "ann@example.com", Role.ADMIN, revision=1))
    same = {"role": "admin"}
    assert entrance.events()[-1].event.detail == {"revision": 2, "before": same, "after": same, "already": True}
    assert entrance.principal(ann.cookie).name == "Ann", "no session ends"


@pytest.mark.parametrize("ending", ["disabled", "role lowered", "reset"])
def test_who_is_shut_out_is_out_at_once(entrance: Entrance, ending: str) -> None:
    ann, bob = entrance.first(), entrance.another("bob@example.com")
    act, whom = entrance.act(ann), bob.administrator.id
    verbs = {
        "disabled": lambda tx: administrators.disable(tx, act, whom),
        "role lowered": lambda tx: administrators.change_role(tx, act, whom, Role.VIEWER, revision=1),
        "reset": lambda tx: administrators.reset(tx, act, whom),
    }
    entrance.database.change(verbs[ending])
    with pytest.raises(Unauthenticated):
        entrance.principal(bob.cookie)
    assert entrance.principal(ann.cookie).name == "Ann"
    (ended,) = [each.event for each in entrance.events() if each.event.kind is EventKind.SESSION_ENDED]
    assert ended.subject == Named(id=bob.session.id, name="Another")
    assert ended.detail == {"administrator": whom, "because": ending}
    if ending != "role lowered":
        with pytest.raises(Unauthenticated):
            entrance.sign_in.by_password("bob@example.com", entrance.password, entrance.caller())


def test_enabling_brings_no_session_and_no_link_back(entrance: Entrance) -> None:
    act = entrance.act(entrance.first())
    bob = entrance.another("bob@example.com")
    _, link = entrance.database.change(lambda tx: administrators.reset(tx, act, bob.administrator.id))
    entrance.database.change(lambda tx: administrators.disable(tx, act, bob.administrator.id))
    assert entrance.sign_in.find_link(link.code).status is LinkStatus.VOIDED
    enabled = entrance.database.change(lambda tx: administrators.enable(tx, act, bob.administrator.id))
    assert (enabled.enabled, enabled.revision) == (True, 3)
    assert entrance.sign_in.find_link(link.code).status is LinkStatus.VOIDED
    with pytest.raises(Unauthenticated):
        entrance.principal(bob.cookie)


def test_a_reset_takes_the_old_password_and_gives_a_link(entrance: Entrance) -> None:
    act = entrance.act(entrance.first())
    bob = entrance.another("bob@example.com").administrator
    reset, link = entrance.database.change(lambda tx: administrators.reset(tx, act, bob.id))
    assert (reset.has_password, link.link.expires_at) == (False, entrance.clock.at + timedelta(hours=24))
    entrance.sign_in.set_password(link.code, password="quite another one", caller=entrance.caller())
    assert entrance.sign_in.by_password("bob@example.com", "quite another one", entrance.caller())


def test_the_machine_resets_even_the_last_one_for_a_few_minutes(entrance: Entrance) -> None:
    """Who has lost the only password asks the operator at the machine."""
    ann = entrance.first().administrator
    operator = entrance.act(LOCAL_OPERATOR)
    _, link = entrance.database.change(lambda tx: administrators.reset(tx, operator, ann.email))
    assert link.link.expires_at == entrance.clock.at + timedelta(minutes=15)


def test_lists_and_search(entrance: Entrance) -> None:
    act = entrance.act(entrance.first())
    for email in ("carol@example.com", "bob@example.com", "x_y@example.com"):
        entrance.another(email, Role.VIEWER, name="100% Bøb")
    read = entrance.database.read
    first, following = read(lambda tx: administrators.page(tx, act, limit=2))
    assert ([each.email for each in first], following) == (["ann@example.com", "bob@example.com"], "bob@example.com")
    rest, end = read(lambda tx: administrators.page(tx, act, after=following, limit=2))
    assert ([each.email for each in rest], end) == (["carol@example.com", "x_y@example.com"], None)

    def found(text: str) -> list[str]:
        return [each.email for each in read(lambda tx: administrators.search(tx, act, text))]

    assert found("ANN") == ["ann@example.com"]
    assert found("100%") == ["bob@example.com", "carol@example.com", "x_y@example.com"]
    assert found("x_y") == ["x_y@example.com"]
    assert found(first[0].id[:13]) == ["ann@example.com"]
    assert found("%") == found("100%")
    assert found("_") == ["x_y@example.com"]
    assert found("") == found("\0") == []


@pytest.mark.parametrize("reference", ["", "nobody", "nobody@example.com", "\0@example.com", "x" * 5000])
def test_somebody_who_is_not_there(entrance: Entrance, reference: str) -> None:
    act = entrance.act(LOCAL_OPERATOR)
    with pytest.raises(NotFound):
        entrance.database.read(lambda tx: administrators.get(tx, act, reference))


def test_an_admin_key_invites_and_disables_but_never_resets(entrance: Entrance) -> None:
    """Its link would let the key in as a person."""
    ann, act = entrance.first().administrator, entrance.act(ADMIN_KEY)
    bob: Administrator = entrance.another("bob@example.com").administrator
    with pytest.raises(NotPermitted, match="admin key cannot reset"):
        entrance.database.change(lambda tx: administrators.reset(tx, act, bob.id))
    entrance.database.change(lambda tx: administrators.disable(tx, act, bob.id))
    with pytest.raises(Conflict, match="last administrator"):
        entrance.database.change(lambda tx: administrators.disable(tx, act, ann.id))


def test_whose_sessions_one_may_end(entrance: Entrance) -> None:
    ann, bob = entrance.first(), entrance.another("bob@example.com", Role.VIEWER)
    act = entrance.act(bob)
    for others in (
        lambda tx: sessions.end(tx, act, ann.session.id),
        lambda tx: sessions.end_all(tx, act, ann.administrator.id),
        lambda tx: sessions.of(tx, act, ann.administrator.id, terms=entrance.sessions.terms),
    ):
        with pytest.raises(NotPermitted):
            entrance.database.change(others)
    assert entrance.database.change(lambda tx: sessions.end_all(tx, act, bob.administrator.id)) == 1
    with pytest.raises(Unauthenticated):
        entrance.principal(bob.cookie)
