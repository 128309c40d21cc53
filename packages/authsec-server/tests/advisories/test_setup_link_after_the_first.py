"""The set-up URL of a new installation is found in a terminal's scrollback after somebody has used another one.

It makes the *first* administrator. Once there is one, enabled or not, it makes nobody.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.accounts import administrators
from authsec_server.accounts.model.administrators import LinkStatus
from authsec_server.failures import Conflict
from authsec_server.principal import LOCAL_OPERATOR, Role

Entrance = Any


@pytest.mark.parametrize("somebody", ["invited", "openid"])
def test_it_is_too_late(entrance: Entrance, somebody: str) -> None:
    link = entrance.sign_in.first_link()
    if somebody == "invited":
        operator = entrance.act(LOCAL_OPERATOR)
        entrance.database.change(
            lambda tx: administrators.invite(tx, operator, email="bob@example.com", name="B", role=Role.VIEWER)
        )
    else:
        entrance.sign_in.by_identity(
            issuer="https://login.example.com",
            subject="1",
            email="bob@example.com",
            name="B",
            role=Role.VIEWER,
            caller=entrance.caller(),
        )
    assert entrance.sign_in.find_link(link.code).status is LinkStatus.TOO_LATE
    with pytest.raises(Conflict, match="no longer valid: the first administrator already exists"):
        entrance.sign_in.set_up_first(
            link.code, email="m@example.com", name="M", password=entrance.password, caller=entrance.caller()
        )
    assert entrance.sign_in.first_link() is None


def test_also_when_somebody_came_while_the_password_was_hashed(entrance: Entrance) -> None:
    link = entrance.sign_in.first_link()
    operator = entrance.act(LOCAL_OPERATOR)
    hashing = entrance.sign_in._hashing

    class Meanwhile:
        def hash(self, password: str) -> str:
            entrance.database.change(
                lambda tx: administrators.invite(tx, operator, email="bob@example.com", name="B", role=Role.VIEWER)
            )
            hashed: str = hashing.hash(password)
            return hashed

    entrance.sign_in._hashing = Meanwhile()
    with pytest.raises(Conflict, match="no longer valid: the first administrator already exists"):
        entrance.sign_in.set_up_first(
            link.code, email="m@example.com", name="M", password=entrance.password, caller=entrance.caller()
        )
    everybody, _ = entrance.database.read(lambda tx: administrators.page(tx, operator))
    assert [each.email for each in everybody] == ["bob@example.com"]


def test_the_link_of_somebody_disabled(entrance: Entrance) -> None:
    act = entrance.act(entrance.first())
    bob, link = entrance.database.change(
        lambda tx: administrators.invite(tx, act, email="bob@example.com", name="B", role=Role.VIEWER)
    )
    entrance.database.change(lambda tx: administrators.disable(tx, act, bob.id))
    assert not entrance.sign_in.find_link(link.code).open
    with pytest.raises(Conflict):
        entrance.sign_in.set_password(link.code, password=entrance.password, caller=entrance.caller())
