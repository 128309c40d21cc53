"""Sessions and their cookie, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from authsec_server.accounts import administrators, sessions, store
from authsec_server.accounts.authentication import ENDED, NOBODY, cookie_name
from authsec_server.accounts.model.sessions import Session, SessionTerms, SignInMethod, shown_user_agent
from authsec_server.audit.model import EventKind, Named
from authsec_server.failures import NotFound
from authsec_server.principal import Role
from authsec_server.web.errors import Unauthenticated
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

pytestmark = pytest.mark.sqlite_suffices

Entrance = Any

Entrance = Any


def stored(entrance: Entrance, session_id: str) -> Session:
    found: Session = entrance.database.read(lambda tx: store.session_by_id(tx.connection, session_id))
    return found


def test_the_cookie_has_a_name_that_only_this_host_can_set_over_tls() -> None:
    assert cookie_name("https://authsec.example.com") == "__Host-authsec-session"
    assert cookie_name("http://127.0.0.1:7468") == "authsec-session-7468"
    assert cookie_name("http://127.0.0.1:7469") == "authsec-session-7469", "one browser may be signed in to two"


def test_it_ends_when_it_is_not_used(entrance: Entrance) -> None:
    ann = entrance.first()
    entrance.clock.at += timedelta(minutes=59)
    assert entrance.principal(ann.cookie)
    entrance.clock.at += timedelta(minutes=59)
    assert entrance.principal(ann.cookie), "using it kept it"
    entrance.clock.at += timedelta(minutes=60)
    with pytest.raises(Unauthenticated, match=ENDED):
        entrance.principal(ann.cookie)


def test_it_ends_in_any_case(entrance: Entrance) -> None:
    ann = entrance.first()
    for _ in range(23):
        entrance.clock.at += timedelta(minutes=30)
        assert entrance.principal(ann.cookie)
    entrance.clock.at += timedelta(minutes=30)
    with pytest.raises(Unauthenticated, match=ENDED):
        entrance.principal(ann.cookie)


def test_its_use_is_written_at_most_once_a_minute(entrance: Entrance) -> None:
    ann = entrance.first()
    begun = ann.session.created_at
    for seconds, written in [(59, 0), (60, 60), (119, 60), (121, 121)]:
        entrance.clock.at = begun + timedelta(seconds=seconds)
        entrance.principal(ann.cookie)
        assert stored(entrance, ann.session.id).last_seen_at == begun + timedelta(seconds=written)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [""],
        ["other=COOKIE"],
        ["authsec-session="],
        ["authsec-session"],
        ["Authsec-Session=COOKIE"],
        ["authsec-session=COOKIE; authsec-session=COOKIE"],
        ["authsec-session=COOKIE", "authsec-session=planted"],
        ["__Host-authsec-session=COOKIE"],
    ],
)
def test_no_cookie_or_two(entrance: Entrance, headers: list[str]) -> None:
    ann = entrance.first()
    sent = [(b"cookie", header.replace("COOKIE", ann.cookie).encode()) for header in headers]
    with pytest.raises(Unauthenticated, match=NOBODY):
        anyio.run(entrance.sessions, Request({"type": "http", "headers": sent}))


def test_among_other_cookies(entrance: Entrance) -> None:
    ann = entrance.first()
    header = f"theme=dark;authsec-session={ann.cookie} ; x=1".encode()
    assert anyio.run(entrance.sessions, Request({"type": "http", "headers": [(b"cookie", header)]})).name == "Ann"


@pytest.mark.parametrize("cookie", ["x", "\xff", "A" * 43, "A" * 10_000])
def test_a_cookie_that_opens_nothing(entrance: Entrance, cookie: str) -> None:
    entrance.first()
    with pytest.raises(Unauthenticated, match=ENDED):
        entrance.principal(cookie)


def test_the_list_of_ones_own(entrance: Entrance) -> None:
    here, bob = entrance.first(), entrance.another("bob@example.com", Role.VIEWER)
    entrance.clock.at += timedelta(minutes=30)
    there = entrance.sign_in.by_password("ann@example.com", entrance.password, entrance.caller())
    act, terms = entrance.act(there), entrance.sessions.terms
    read = entrance.database.read
    assert read(lambda tx: sessions.own(tx, act, terms=terms)) == [there.session, here.session]
    assert read(lambda tx: sessions.of(tx, act, bob.administrator.id, terms=terms)) == [bob.session]
    entrance.clock.at += timedelta(minutes=30)
    later = entrance.act(there)
    assert read(lambda tx: sessions.own(tx, later, terms=terms)) == [there.session], "one has ended by itself"


def test_signing_out(entrance: Entrance) -> None:
    ann = entrance.first()
    act = entrance.act(ann)
    ended = entrance.database.change(lambda tx: sessions.end(tx, act, ann.session.id))
    assert ended.ended_at == entrance.clock.at
    with pytest.raises(Unauthenticated):
        entrance.principal(ann.cookie)
    event = entrance.events()[-1].event
    assert (event.kind, event.subject) == (EventKind.SESSION_ENDED, Named(id=ann.session.id, name="Ann"))
    count = len(entrance.events())
    assert entrance.database.change(lambda tx: sessions.end(tx, act, ann.session.id)) == ended
    assert len(entrance.events()) == count
    for unknown in ("", "\0", "6f1d2a34-0000-4000-8000-000000000001"):
        with pytest.raises(NotFound):
            entrance.database.change(lambda tx, unknown=unknown: sessions.end(tx, act, unknown))


def test_signing_out_everywhere_else(entrance: Entrance) -> None:
    here = entrance.first()
    there = entrance.sign_in.by_password("ann@example.com", entrance.password, entrance.caller())
    bob = entrance.another("bob@example.com")
    act = entrance.act(here)
    assert entrance.database.change(lambda tx: sessions.end_others(tx, act)) == 1
    assert entrance.principal(here.cookie)
    assert entrance.principal(bob.cookie)
    with pytest.raises(Unauthenticated):
        entrance.principal(there.cookie)


def test_what_has_ended_is_forgotten_in_time(entrance: Entrance) -> None:
    ann = entrance.first()
    entrance.clock.at += timedelta(hours=1)
    entrance.database.append(entrance.sessions.keep)
    assert stored(entrance, ann.session.id).ended_at == entrance.clock.at
    entrance.clock.at += timedelta(days=30, seconds=-1)
    entrance.database.append(entrance.sessions.keep)
    assert stored(entrance, ann.session.id)
    entrance.clock.at += timedelta(seconds=1)
    entrance.database.append(entrance.sessions.keep)
    assert stored(entrance, ann.session.id) is None


def test_keeping_order_ends_nothing_that_stands(entrance: Entrance) -> None:
    ann = entrance.first()
    entrance.clock.at += timedelta(minutes=59, seconds=59)
    entrance.database.append(entrance.sessions.keep)
    assert entrance.principal(ann.cookie)


def test_a_raised_role_counts_at_once(entrance: Entrance) -> None:
    act = entrance.act(entrance.first())
    bob = entrance.another("bob@example.com", Role.VIEWER)
    entrance.database.change(
        lambda tx: administrators.change_role(tx, act, bob.administrator.id, Role.OPERATOR, revision=1)
    )
    assert entrance.principal(bob.cookie).role is Role.OPERATOR


@given(
    idle=st.integers(60, 86_400),
    lifetime=st.integers(300, 86_400),
    seen=st.integers(0, 100_000),
    passed=st.integers(0, 200_000),
)
def test_no_session_outlives_its_terms(idle: int, lifetime: int, seen: int, passed: int) -> None:
    begun = datetime(2026, 11, 25, 12, tzinfo=UTC)
    session = Session(
        id="s",
        administrator_id="a",
        method=SignInMethod.PASSWORD,
        created_at=begun,
        last_seen_at=begun + timedelta(seconds=seen),
        address="",
        user_agent="",
    )
    terms = SessionTerms(idle=timedelta(seconds=idle), lifetime=timedelta(seconds=lifetime))
    is_valid = session.is_valid(begun + timedelta(seconds=passed), terms)
    assert is_valid == (passed < lifetime and passed - seen < idle)


@given(st.text())
def test_a_user_agent_is_shown_harmless(sent: str) -> None:
    shown = shown_user_agent(sent)
    assert len(shown) <= 200
    assert shown.isascii()
    assert not [char for char in shown if ord(char) < 32 or ord(char) == 127]
