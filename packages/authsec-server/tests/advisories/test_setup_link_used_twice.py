"""A set-up link is used a second time: by whoever finds it in a mailbox, or by two who press at the same moment.

It can be used once. Looking at it uses nothing up: what opens links by itself, a mail scanner, must not spend it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from authsec_server.accounts import administrators
from authsec_server.accounts.model.administrators import LinkStatus
from authsec_server.failures import Conflict
from authsec_server.principal import LOCAL_OPERATOR, Role

Entrance = Any


def at_once(work: Callable[[int], Any], number: int = 4) -> list[Any]:
    """What came of it in each of so many threads: the result or the failure."""
    outcomes: list[Any] = []
    barrier = threading.Barrier(number)

    def run(index: int) -> None:
        barrier.wait(10)
        try:
            outcomes.append(work(index))
        except Conflict as failure:
            outcomes.append(failure)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def uses(entrance: Entrance, purpose: str) -> Callable[[int], Any]:
    """A link of that purpose, as something to be used by several."""
    sign_in, operator = entrance.sign_in, entrance.act(LOCAL_OPERATOR)
    if purpose == "first_administrator":
        code = sign_in.first_link().code
        return lambda index: sign_in.set_up_first(
            code, email=f"a{index}@example.com", name="A", password=entrance.password, caller=entrance.caller()
        )
    entrance.first()
    if purpose == "sign_in":
        code = entrance.database.change(lambda tx: administrators.for_a_sign_in(tx, operator, "ann@example.com")).code
        return lambda _: sign_in.by_link(code, entrance.caller())
    code = entrance.database.change(lambda tx: administrators.for_a_password(tx, operator, "ann@example.com")).code
    return lambda index: sign_in.set_password(code, password=f"number {index} of them", caller=entrance.caller())


@pytest.mark.parametrize("purpose", ["first_administrator", "set_password", "sign_in"])
def test_of_those_who_use_it_at_once_one_comes_in(entrance: Entrance, purpose: str) -> None:
    use = uses(entrance, purpose)
    outcomes = at_once(use)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    assert len(refused) == len(outcomes) - 1
    assert {failure.message for failure in refused} == {"This link was already used. A link works only once."}
    (new,) = [outcome for outcome in outcomes if not isinstance(outcome, Conflict)]
    assert entrance.principal(new.cookie).id == new.administrator.id
    everybody, _ = entrance.database.read(lambda tx: administrators.page(tx, entrance.act(LOCAL_OPERATOR)))
    assert len(everybody) == 1
    with pytest.raises(Conflict, match="was already used"):
        use(9)


def test_looking_does_not_use_it_up(entrance: Entrance) -> None:
    link = entrance.sign_in.first_link()
    assert {entrance.sign_in.find_link(link.code).status for _ in range(5)} == {LinkStatus.OPEN}
    assert entrance.sign_in.set_up_first(
        link.code, email="ann@example.com", name="Ann", password=entrance.password, caller=entrance.caller()
    )


def test_a_link_is_for_what_it_was_made_for(entrance: Entrance) -> None:
    """A sign-in link sets no password, an invitation makes no first administrator, and none is spent by trying."""
    act = entrance.act(entrance.first())
    operator = entrance.act(LOCAL_OPERATOR)
    _, invitation = entrance.database.change(
        lambda tx: administrators.invite(tx, act, email="bob@example.com", name="Bob", role=Role.VIEWER)
    )
    sign_in = entrance.database.change(lambda tx: administrators.for_a_sign_in(tx, operator, "ann@example.com"))
    given = {"password": "another one entirely", "caller": entrance.caller()}
    for wrong in (
        lambda: entrance.sign_in.set_password(sign_in.code, **given),
        lambda: entrance.sign_in.set_up_first(sign_in.code, email="m@example.com", name="M", **given),
        lambda: entrance.sign_in.set_up_first(invitation.code, email="m@example.com", name="M", **given),
        lambda: entrance.sign_in.by_link(invitation.code, entrance.caller()),
    ):
        with pytest.raises(Conflict, match="not from this authority"):
            wrong()
    assert entrance.sign_in.find_link(sign_in.code).open
    assert entrance.sign_in.find_link(invitation.code).open
