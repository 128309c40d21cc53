"""Somebody who has a person's password also has an admin key, a small role, or a session of the person.

None of these removes the second factor. The operator at the server's machine does, also for the last admin.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.accounts import second_factor
from authsec_server.accounts.model.sessions import NewSession
from authsec_server.accounts.second_factor import SecondStep
from authsec_server.failures import Conflict, Invalid, NotPermitted
from authsec_server.principal import LOCAL_OPERATOR, Principal, PrincipalKind, Role

pytestmark = pytest.mark.sqlite_suffices
Entrance = Any


def reset(entrance: Entrance, by: NewSession | Principal) -> Any:
    return entrance.database.change(lambda tx: second_factor.reset(tx, entrance.act(by), "ann@example.com"))


def is_asked(entrance: Entrance) -> bool:
    step = entrance.sign_in.by_password("ann@example.com", entrance.password, entrance.caller())
    return isinstance(step, SecondStep)


def test_neither_a_key_nor_a_small_role_nor_the_person_resets_it(entrance: Entrance) -> None:
    ann = entrance.first()
    entrance.turn_on(ann)
    key = Principal(kind=PrincipalKind.ADMIN_KEY, id="3e9f7d52-0000-4000-8000-000000000000", name="ci", role=Role.ADMIN)
    for by, refusal in (
        (key, NotPermitted),
        (entrance.another("oda@example.com", Role.OPERATOR), NotPermitted),
        (ann, Conflict),
    ):
        with pytest.raises(refusal):
            reset(entrance, by)
    assert is_asked(entrance)


def test_the_operator_resets_that_of_the_last_admin(entrance: Entrance) -> None:
    ann = entrance.first()
    phone, codes = entrance.turn_on(ann)
    waiting = entrance.step()
    assert not reset(entrance, LOCAL_OPERATOR).has_second_factor
    assert not is_asked(entrance)
    event = next(each.event for each in entrance.events() if each.event.kind == "administrator.second_factor_reset")
    assert (event.subject.name, event.detail["sessions_ended"]) == ("Ann", 1)
    for code in (phone.at(entrance.clock.now()), codes[0]):
        with pytest.raises(Exception, match="Sign in again"):
            entrance.second_steps.by_code(waiting, code, entrance.caller())


def test_the_operator_may_reset_what_seems_to_be_off(entrance: Entrance) -> None:
    """Raw SQL may have removed it: the act is recorded whatever the row says."""
    entrance.first()
    reset(entrance, LOCAL_OPERATOR)
    (event,) = [each.event for each in entrance.events() if each.event.kind == "administrator.second_factor_reset"]
    assert event.detail["already"] is True


def test_a_session_alone_turns_nothing_off(entrance: Entrance) -> None:
    ann = entrance.first()
    phone, _ = entrance.turn_on(ann)
    own = {"principal": entrance.act(ann).principal, "caller": entrance.caller()}
    with pytest.raises(Invalid, match="not your current password"):
        entrance.second_steps.check_own(password="not it", typed=phone.at(entrance.clock.now()), **own)
    with pytest.raises(Invalid, match="not right"):
        entrance.second_steps.check_own(password=entrance.password, typed="000000", **own)


def test_who_signs_in_at_a_provider_has_none_here(entrance: Entrance) -> None:
    new = entrance.sign_in.by_identity(
        issuer="https://login.example.com",
        subject="1",
        email="oda@example.com",
        name="Oda",
        role=Role.ADMIN,
        caller=entrance.caller(),
    )
    entrance.sessions._needs_second_factor = True
    assert entrance.principal(new.cookie).id == new.administrator.id, "its provider decides"
    with pytest.raises(Invalid):
        entrance.second_steps.begin_setup(entrance.act(new).principal, password="", caller=entrance.caller())
