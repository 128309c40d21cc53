"""Every token waits while somebody holds the authority lock. A stranger at the door has it taken again and again.

Whoever has no password, no link that is open and no provider's word is turned away before the lock is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from authsec_server.accounts import administrators
from authsec_server.accounts.oidc.identity import OpenIdRefusal
from authsec_server.failures import Conflict
from authsec_server.principal import LOCAL_OPERATOR
from authsec_server.web.errors import TooOften, Unauthenticated

pytestmark = pytest.mark.sqlite_suffices

Entrance = Any


class Watched:
    """A database, and how often the lock was asked for."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self.locked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def change(self, work: Callable[[Any], Any]) -> Any:
        self.locked += 1
        return self._database.change(work)

    def record(self, work: Callable[[Any], Any]) -> Any:
        self.locked += 1
        return self._database.record(work)


@pytest.fixture
def spent(entrance: Entrance) -> str:
    """The code of a link by which Ann came in."""
    ann = entrance.first()
    operator = entrance.act(LOCAL_OPERATOR)
    link = entrance.database.change(lambda tx: administrators.for_a_sign_in(tx, operator, ann.administrator.id))
    entrance.sign_in.by_link(link.code, entrance.caller())
    return str(link.code)


@pytest.mark.parametrize("code", ["spent", "unknown", "malformed"])
def test_a_link_that_is_not_open(entrance: Entrance, spent: str, code: str) -> None:
    shown = {"spent": spent, "unknown": "A" * 43, "malformed": "\0"}[code]
    its, caller, password = entrance.sign_in, entrance.caller("198.51.100.7"), entrance.password
    its._database = watched = Watched(entrance.database)
    for _ in range(10):
        for enter in (
            lambda: its.by_link(shown, caller),
            lambda: its.set_password(shown, password=password, caller=caller),
            lambda: its.set_up_first(shown, email="m@example.com", name="M", password=password, caller=caller),
        ):
            with pytest.raises((Conflict, TooOften)):
                enter()
    assert watched.locked == 0


def test_a_wrong_password_and_a_refused_identity(entrance: Entrance, spent: str) -> None:
    assert spent
    its, caller = entrance.sign_in, entrance.caller("198.51.100.7")
    its._database = watched = Watched(entrance.database)
    for email in ("ann@example.com", "nobody@example.com"):
        with pytest.raises(Unauthenticated):
            its.by_password(email, "not the password", caller)
    its.refuse_identity(OpenIdRefusal.STATE_MISMATCH, caller)
    assert watched.locked == 0


def test_who_may_come_in_does_take_it(entrance: Entrance, spent: str) -> None:
    assert spent
    entrance.sign_in._database = watched = Watched(entrance.database)
    entrance.sign_in.by_password("ann@example.com", entrance.password, entrance.caller())
    assert watched.locked == 1
