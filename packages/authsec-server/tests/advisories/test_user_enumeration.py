"""Somebody tries addresses to learn who administers here: by the answer, by its time, by the limits.

An address that nobody has, one who is invited, one who is disabled and one with a wrong password are answered alike,
after the same work, and are limited alike.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.accounts import administrators
from authsec_server.principal import Role
from authsec_server.web.errors import TooOften, Unauthenticated
from sqlalchemy import Engine, event

pytestmark = pytest.mark.sqlite_suffices

Entrance = Any
EMAILS = ["ann@example.com", "invited@example.com", "disabled@example.com", "oda@example.com", "nobody@example.com"]


@pytest.fixture
def peopled(entrance: Entrance) -> Entrance:
    """One of each kind."""
    act = entrance.act(entrance.first())
    entrance.database.change(
        lambda tx: administrators.invite(tx, act, email="invited@example.com", name="I", role=Role.VIEWER)
    )
    gone = entrance.another("disabled@example.com", Role.VIEWER).administrator
    entrance.database.change(lambda tx: administrators.disable(tx, act, gone.id))
    entrance.sign_in.by_identity(
        issuer="https://login.example.com",
        subject="1",
        email="oda@example.com",
        name="O",
        role=Role.VIEWER,
        caller=entrance.caller(),
    )
    return entrance


class Counted:
    """Hashing that counts what it is asked."""

    def __init__(self, hashing: Any) -> None:
        self._hashing = hashing
        self.verified = 0

    def verify(self, password_hash: str | None, typed: str) -> bool:
        self.verified += 1
        right: bool = self._hashing.verify(password_hash, typed)
        return right

    def is_outdated(self, _hash: str) -> bool:
        return False


def test_the_answer_and_the_work_are_the_same(peopled: Entrance) -> None:
    counted = peopled.sign_in._hashing = Counted(peopled.sign_in._hashing)
    answers = set()
    for number, email in enumerate(EMAILS):
        with pytest.raises(Unauthenticated) as refused:
            peopled.sign_in.by_password(email, "a wrong password", peopled.caller("203.0.113.5"))
        answers.add(refused.value.message)
        assert counted.verified == number + 1, email
    assert len(answers) == 1
    with pytest.raises(Unauthenticated) as refused:
        peopled.sign_in.by_password("disabled@example.com", peopled.password, peopled.caller("203.0.113.5"))
    assert refused.value.message in answers


def test_the_database_is_asked_the_same(peopled: Entrance) -> None:
    """As many statements, of the same text: what is looked up, and what is written, of somebody and of nobody."""
    asked: dict[str, list[str]] = {}

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked[email].append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        for number, email in enumerate(EMAILS):
            asked[email] = []
            with pytest.raises(Unauthenticated):
                peopled.sign_in.by_password(email, "a wrong password", peopled.caller(f"203.0.113.{number}"))
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert len({tuple(statements) for statements in asked.values()}) == 1, asked
    assert asked["nobody@example.com"]


def test_nobodys_hash_is_as_expensive_as_anybodys(peopled: Entrance) -> None:
    hashing = peopled.sign_in._hashing
    assert hashing._nobodys.split("$")[1:4] == hashing.hash("a password of somebody").split("$")[1:4]
    assert hashing.verify(None, "") is False


def test_the_limits_are_the_same(peopled: Entrance) -> None:
    tries = {}
    for index, email in enumerate(EMAILS):
        tries[email] = 0
        with pytest.raises(TooOften):  # noqa: PT012 - until it happens
            for number in range(100):
                with pytest.raises(Unauthenticated):
                    peopled.sign_in.by_password(email, "wrong", peopled.caller(f"203.0.{index}.{number}"))
                tries[email] += 1
    assert len(set(tries.values())) == 1, tries


def test_an_address_that_nobody_has_is_not_written_down(peopled: Entrance) -> None:
    with pytest.raises(Unauthenticated):
        peopled.sign_in.by_password("secret.lover@example.com", "wrong", peopled.caller())
    assert "secret.lover" not in repr(peopled.events())
