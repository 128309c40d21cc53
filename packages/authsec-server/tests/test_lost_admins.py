"""Nobody can administer any more: whoever can read the data on the server's machine gets an admin in again.

Whatever became of the admins, a link of the machine's lets one in, once, within 15 minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.accounts import administrators
from authsec_server.accounts.model.administrators import NewLink
from authsec_server.db import Tx
from authsec_server.failures import Conflict
from authsec_server.principal import LOCAL_OPERATOR, Act, Role
from authsec_server.web.errors import Unauthenticated

pytestmark = pytest.mark.sqlite_suffices

Entrance = Any
ANN, ODA = "ann@example.com", "oda@example.com"
PASSWORD = "another one entirely"


def at_the_machine(entrance: Entrance, verb: Callable[[Tx, Act], Any]) -> Any:
    return entrance.database.change(lambda tx: verb(tx, entrance.act(LOCAL_OPERATOR)))


def by_identity(entrance: Entrance, role: Role = Role.ADMIN) -> Any:
    return entrance.sign_in.by_identity(
        issuer="https://login.example.com", subject="1", email=ODA, name="Oda", role=role, caller=entrance.caller()
    )


def link(entrance: Entrance, make: Callable[[Tx, Act, str], NewLink], whom: str) -> NewLink:
    made: NewLink = at_the_machine(entrance, lambda tx, act: make(tx, act, whom))
    assert made.link.expires_at == entrance.clock.at + timedelta(minutes=15)
    return made


def test_the_password_was_lost(entrance: Entrance) -> None:
    old = entrance.first()
    code = link(entrance, administrators.for_a_password, ANN).code
    with pytest.raises(Unauthenticated):
        entrance.principal(old.cookie)
    with pytest.raises(Unauthenticated):
        entrance.sign_in.by_password(ANN, entrance.password, entrance.caller())
    new = entrance.sign_in.set_password(code, password=PASSWORD, caller=entrance.caller())
    assert entrance.principal(new.cookie).role is Role.ADMIN
    with pytest.raises(Conflict, match="was already used"):
        entrance.sign_in.set_password(code, password=PASSWORD, caller=entrance.caller())


def test_a_link_that_nobody_used_in_time(entrance: Entrance) -> None:
    entrance.first()
    code = link(entrance, administrators.for_a_password, ANN).code
    entrance.clock.at += timedelta(minutes=15)
    with pytest.raises(Conflict, match="has expired"):
        entrance.sign_in.set_password(code, password=PASSWORD, caller=entrance.caller())
    assert link(entrance, administrators.for_a_password, ANN), "another one is made as easily"


def test_all_admins_are_disabled(entrance: Entrance) -> None:
    """Which nobody could do by the rules; but a provider can, and so can a restored database."""
    ann = entrance.first()
    by_identity(entrance)
    at_the_machine(entrance, lambda tx, act: administrators.disable(tx, act, ANN))
    by_identity(entrance, Role.VIEWER)  # the provider's word, though that leaves no admin
    with pytest.raises(Conflict) as refused:
        link(entrance, administrators.for_a_password, ANN)
    assert refused.value.remedy == f"Enable the administrator first: authsec admin enable {ANN}"
    at_the_machine(entrance, lambda tx, act: administrators.enable(tx, act, ANN))
    code = link(entrance, administrators.for_a_sign_in, ANN).code
    assert entrance.principal(entrance.sign_in.by_link(code, entrance.caller()).cookie).id == ann.administrator.id


def test_all_admins_come_by_a_provider_that_is_away(entrance: Entrance) -> None:
    oda = by_identity(entrance)
    with pytest.raises(Conflict) as refused:
        link(entrance, administrators.for_a_password, ODA)
    assert f"authsec admin setup-url --email {ODA} --sign-in" in refused.value.remedy
    code = link(entrance, administrators.for_a_sign_in, ODA).code
    new = entrance.sign_in.by_link(code, entrance.caller())
    assert (entrance.principal(new.cookie).id, entrance.principal(new.cookie).role) == (
        oda.administrator.id,
        Role.ADMIN,
    )


def test_all_have_smaller_roles_or_have_left(entrance: Entrance) -> None:
    """Somebody new is invited from the machine, or somebody who is there is made an admin."""
    by_identity(entrance, Role.VIEWER)
    bob = entrance.another("bob@example.com", Role.VIEWER)
    with pytest.raises(Conflict) as refused:
        at_the_machine(entrance, administrators.for_the_first)
    assert "authsec admin invite ADDRESS --name NAME --role admin" in refused.value.remedy
    assert entrance.principal(entrance.another("new@example.com").cookie).role is Role.ADMIN
    whom = bob.administrator.id
    at_the_machine(entrance, lambda tx, act: administrators.change_role(tx, act, whom, Role.ADMIN, revision=1))
    assert entrance.principal(bob.cookie).role is Role.ADMIN
