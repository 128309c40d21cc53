"""Coming in, on both databases: by password, by link, by an identity elsewhere; and what the audit log has of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher
from authsec_server.accounts import administrators, store
from authsec_server.accounts.model.administrators import LinkStatus
from authsec_server.accounts.model.sessions import SignInMethod, SignInRefusal
from authsec_server.accounts.oidc.identity import OpenIdRefusal
from authsec_server.accounts.passwords import AT_ONCE, WAITING, Hashing
from authsec_server.accounts.sign_in import WRONG, SignIn
from authsec_server.audit.model import Decision, EventKind, Named
from authsec_server.failures import Invalid, Unavailable
from authsec_server.principal import Role
from authsec_server.web.errors import TooOften, Unauthenticated

pytestmark = pytest.mark.sqlite_suffices

Entrance = Any
ISSUER = "https://login.example.com"


def identity(
    entrance: Entrance, subject: str = "s-1", email: str = "oda@example.com", role: Role = Role.OPERATOR
) -> Any:
    return entrance.sign_in.by_identity(
        issuer=ISSUER, subject=subject, email=email, name="Oda", role=role, caller=entrance.caller()
    )


def refusals(entrance: Entrance) -> list[tuple[str, int, Named | None]]:
    return [
        (each.event.reason, each.count, each.event.subject)
        for each in entrance.events()
        if each.event.kind is EventKind.ADMIN_SIGN_IN_REFUSED
    ]


def test_the_first_administrator(entrance: Entrance) -> None:
    assert entrance.sign_in.has_administrator() is False
    ann = entrance.first(" Ann@Example.com ", "Ann")
    who = ann.administrator
    assert (who.email, who.name, who.role, who.has_password) == ("ann@example.com", "Ann", Role.ADMIN, True)
    principal = entrance.principal(ann.cookie)
    assert (principal.id, principal.name, principal.session_id) == (who.id, "Ann", ann.session.id)
    assert entrance.sign_in.has_administrator() is True
    assert [each.event.kind for each in entrance.events()] == [
        EventKind.LINK_MADE,
        EventKind.ADMINISTRATOR_SET_UP,
        EventKind.ADMIN_SIGN_IN,
    ]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"email": "ann"}, "email"),
        ({"name": "\x1b[2J"}, "name"),
        ({"password": "short"}, "password"),
        ({"password": "ann@example.com1"}, "password"),
    ],
)
def test_a_set_up_with_a_mistake_can_be_tried_again(entrance: Entrance, changes: dict[str, str], field: str) -> None:
    link = entrance.sign_in.first_link()
    given = {"email": "ann@example.com", "name": "Ann", "password": entrance.password}
    with pytest.raises(Invalid) as refused:
        entrance.sign_in.set_up_first(link.code, caller=entrance.caller(), **given | changes)
    assert refused.value.field == field
    assert entrance.sign_in.find_link(link.code).open
    assert entrance.sign_in.set_up_first(link.code, caller=entrance.caller(), **given)


def test_by_password(entrance: Entrance) -> None:
    ann = entrance.first().administrator
    entrance.clock.at += timedelta(days=1)
    came = entrance.sign_in.by_password(" ANN@example.com", entrance.password, entrance.caller("192.0.2.7"))
    assert (came.administrator.id, came.session.method) == (ann.id, SignInMethod.PASSWORD)
    assert (came.session.address, came.session.user_agent) == ("192.0.2.7", "Browser/1")
    event = entrance.events()[-1].event
    assert (event.kind, event.decision, event.address) == (EventKind.ADMIN_SIGN_IN, Decision.GRANTED, "192.0.2.7")
    assert event.principal == ann.principal("")
    assert event.subject == Named(id=came.session.id, name="Ann")
    assert event.detail == {"method": "password", "user_agent": "Browser/1"}
    found = entrance.database.read(lambda tx: store.administrator_by_id(tx.connection, ann.id))
    assert found.last_sign_in_at == entrance.clock.at


def test_a_change_of_what_was_read_earlier_leaves_the_time_of_the_last_sign_in(entrance: Entrance) -> None:
    read = entrance.first().administrator
    entrance.clock.at += timedelta(days=1)
    act = entrance.act(entrance.sign_in.by_password("ann@example.com", entrance.password, entrance.caller()))
    entrance.database.change(lambda tx: administrators.follow_role(tx, act, read, Role.VIEWER))
    found = entrance.database.read(lambda tx: store.administrator_by_id(tx.connection, read.id))
    assert (found.role, found.last_sign_in_at) == (Role.VIEWER, entrance.clock.at)


def test_however_the_keyboard_composes_it(entrance: Entrance) -> None:
    entrance.password = "vi\u00f6let tram kiosk"
    entrance.first()
    assert entrance.sign_in.by_password("ann@example.com", "vio\u0308let tram kiosk", entrance.caller())


@pytest.mark.parametrize(
    ("email", "password", "reason", "known"),
    [
        ("ann@example.com", "wrong", SignInRefusal.WRONG_PASSWORD, True),
        ("ann@example.com", "", SignInRefusal.WRONG_PASSWORD, True),
        ("ann@example.com", "x" * 100_000, SignInRefusal.WRONG_PASSWORD, True),
        ("ann@example.com", "\ud800", SignInRefusal.WRONG_PASSWORD, True),
        ("nobody@example.com", "violet tram kiosk 7", SignInRefusal.UNKNOWN, False),
        ("", "", SignInRefusal.UNKNOWN, False),
        ("\0", "\0", SignInRefusal.UNKNOWN, False),
        ("\ud800@example.com", "x", SignInRefusal.UNKNOWN, False),
        ("x" * 100_000, "x", SignInRefusal.UNKNOWN, False),
        ("invited@example.com", "violet tram kiosk 7", SignInRefusal.NO_PASSWORD, True),
        ("invited@example.com", "", SignInRefusal.NO_PASSWORD, True),
    ],
)
def test_who_is_not_let_in(entrance: Entrance, email: str, password: str, reason: SignInRefusal, known: bool) -> None:
    act = entrance.act(entrance.first())
    entrance.database.change(
        lambda tx: administrators.invite(tx, act, email="invited@example.com", name="I", role=Role.VIEWER)
    )
    with pytest.raises(Unauthenticated) as refused:
        entrance.sign_in.by_password(email, password, entrance.caller())
    assert refused.value.message == WRONG
    ((why, count, subject),) = refusals(entrance)
    assert (why, count, subject is not None) == (reason, 1, known)


def test_a_hash_in_older_parameters_is_renewed(entrance: Entrance) -> None:
    ann = entrance.first().administrator

    def stored() -> str:
        found: str = entrance.database.read(lambda tx: store.password_hash(tx.connection, ann.id))
        return found

    old = stored()
    entrance.sign_in.by_password(ann.email, entrance.password, entrance.caller())
    assert stored() == old
    stronger = SignIn(
        entrance.database,
        now=entrance.clock.now,
        monotonic=entrance.clock.monotonic,
        token_bytes=lambda n: bytes([7]) * n,
        hashing=Hashing(PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)),
    )
    stronger.by_password(ann.email, entrance.password, entrance.caller())
    assert stored() != old
    assert "m=16,t=2" in stored()
    assert entrance.sign_in.by_password(ann.email, entrance.password, entrance.caller())


def test_an_own_new_password_ends_the_other_sessions(entrance: Entrance) -> None:
    here = entrance.first()
    there = entrance.sign_in.by_password("ann@example.com", entrance.password, entrance.caller())
    change = entrance.sign_in.change_password
    me = here.administrator.principal(here.session.id)
    for current, new, field in [("wrong", "x", "current"), (entrance.password, "ann@example.com1", "password")]:
        with pytest.raises(Invalid) as refused:
            change(me, current=current, new=new, caller=entrance.caller())
        assert refused.value.field == field
    change(me, current=entrance.password, new="a new one entirely", caller=entrance.caller())
    assert entrance.principal(here.cookie) == me
    with pytest.raises(Unauthenticated):
        entrance.principal(there.cookie)
    with pytest.raises(Unauthenticated):
        entrance.sign_in.by_password("ann@example.com", entrance.password, entrance.caller())
    assert entrance.sign_in.by_password("ann@example.com", "a new one entirely", entrance.caller())


def test_an_identity_elsewhere(entrance: Entrance) -> None:
    came = identity(entrance)
    who = came.administrator
    assert (who.email, who.role, who.issuer, who.subject) == ("oda@example.com", Role.OPERATOR, ISSUER, "s-1")
    assert came.session.method is SignInMethod.OIDC
    again = identity(entrance, email="else@example.com")
    assert (again.administrator.id, again.administrator.email) == (who.id, "oda@example.com")
    assert identity(entrance, subject="S-1", email="b@example.com").administrator.id != who.id


def test_the_role_follows_the_claim(entrance: Entrance) -> None:
    first = identity(entrance, role=Role.ADMIN)
    assert identity(entrance, role=Role.ADMIN).administrator.revision == 1
    entrance.principal(first.cookie)
    lowered = identity(entrance, role=Role.VIEWER)
    assert (lowered.administrator.role, entrance.principal(lowered.cookie).role) == (Role.VIEWER, Role.VIEWER)
    with pytest.raises(Unauthenticated):
        entrance.principal(first.cookie)
    assert identity(entrance, role=Role.OPERATOR).administrator.role is Role.OPERATOR


def test_somebody_disabled_here_stays_out_whatever_the_provider_says(entrance: Entrance) -> None:
    act = entrance.act(entrance.first())
    oda = identity(entrance).administrator
    entrance.database.change(lambda tx: administrators.disable(tx, act, oda.id))
    with pytest.raises(Unauthenticated, match="disabled"):
        identity(entrance)
    assert refusals(entrance) == [("disabled", 1, Named(id=oda.id, name="Oda"))]


@pytest.mark.parametrize("subject", ["", "a" * 256, "a\0b"])
def test_nothing_names_nobody(entrance: Entrance, subject: str) -> None:
    with pytest.raises(Invalid) as refused:
        identity(entrance, subject=subject)
    assert refused.value.field == "subject"


def test_what_came_back_from_the_provider_in_vain(entrance: Entrance) -> None:
    for _ in range(20):
        entrance.sign_in.refuse_identity(OpenIdRefusal.DECLINED, entrance.caller())
    with pytest.raises(TooOften):
        entrance.sign_in.refuse_identity(OpenIdRefusal.DECLINED, entrance.caller())
    assert refusals(entrance) == [("oidc_declined", 20, None), ("rate_limited", 1, None)]


def test_links_end(entrance: Entrance) -> None:
    first = entrance.sign_in.first_link()
    second = entrance.sign_in.first_link()
    assert entrance.sign_in.find_link(first.code).status is LinkStatus.VOIDED
    entrance.clock.at += timedelta(minutes=14, seconds=59)
    assert entrance.sign_in.find_link(second.code).status is LinkStatus.OPEN
    entrance.clock.at += timedelta(seconds=1)
    assert entrance.sign_in.find_link(second.code).status is LinkStatus.EXPIRED
    for nothing in ("", "\0", second.code[:-1], second.code + "A", "A" * 43):
        assert entrance.sign_in.find_link(nothing).status is LinkStatus.UNKNOWN


def test_too_many_at_once_are_sent_away_rather_than_kept_waiting() -> None:
    """Each would hold a thread that others need to fetch tokens."""
    hashing = Hashing(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    for _ in range(AT_ONCE + WAITING):
        assert hashing._line.acquire(blocking=False)
    with pytest.raises(Unavailable, match="Too many people are signing in"):
        hashing.verify(None, "x")
    hashing._line.release()
    assert hashing.verify(None, "x") is False
    assert hashing.verify(hashing.hash("violet"), "violet") is True
    assert hashing.verify("not a hash", "violet") is False
