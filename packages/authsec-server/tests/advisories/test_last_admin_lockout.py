"""Two admins take the role from each other at the same moment, each seeing that another is left; then nobody is.

The rule that one admin with a way in remains is looked at under the authority lock, so one of the two is refused.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
from authsec_server.accounts import administrators
from authsec_server.failures import Conflict
from authsec_server.principal import LOCAL_OPERATOR, Role
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import examples

pytestmark = pytest.mark.sqlite_suffices

Entrance = Any
WAYS: dict[str, Callable[..., Any]] = {
    "demote": lambda tx, act, whom: administrators.change_role(tx, act, whom, Role.VIEWER, revision=1),
    "disable": administrators.disable,
    "reset": administrators.reset,
}


def admins_with_a_way_in(entrance: Entrance) -> list[str]:
    everybody, _ = entrance.database.read(lambda tx: administrators.page(tx, entrance.act(LOCAL_OPERATOR), limit=200))
    return [each.email for each in everybody if each.role is Role.ADMIN and each.enabled and each.can_sign_in]


@pytest.mark.parametrize("way", WAYS)
def test_two_against_each_other(entrance: Entrance, way: str) -> None:
    ann, bob = entrance.first(), entrance.another("bob@example.com")
    barrier, outcomes = threading.Barrier(2), []

    def strike(mine: Any, theirs: Any) -> None:
        act = entrance.act(mine)
        barrier.wait(10)
        try:
            outcomes.append(entrance.database.change(lambda tx: WAYS[way](tx, act, theirs.administrator.id)))
        except Conflict as failure:
            outcomes.append(failure.message)

    threads = [threading.Thread(target=strike, args=pair) for pair in ((ann, bob), (bob, ann))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert len(refused) == 1
    assert "is the last administrator with the role admin who can sign in" in refused[0]
    assert len(admins_with_a_way_in(entrance)) == 1


@pytest.mark.parametrize("way", WAYS)
def test_an_invited_admin_is_no_way_in_yet(entrance: Entrance, way: str) -> None:
    ann = entrance.first()
    act = entrance.act(ann)
    entrance.database.change(
        lambda tx: administrators.invite(tx, act, email="bob@example.com", name="Bob", role=Role.ADMIN)
    )
    with pytest.raises(Conflict, match="last administrator"):
        entrance.database.change(lambda tx: WAYS[way](tx, act, ann.administrator.id))


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["role", "disable", "enable", "reset"]), st.integers(0, 3), st.sampled_from(Role)),
        max_size=12,
    )
)
def test_whatever_admins_do_to_each_other_one_remains(entrance: Entrance, steps: list[tuple[str, int, Role]]) -> None:
    """People are kept from one example to the next: they begin where the last one left them."""
    operator = entrance.act(LOCAL_OPERATOR)
    change = entrance.database.change
    if not entrance.sign_in.has_administrator():
        entrance.first("a0@example.com")
        for number in (1, 2, 3):
            entrance.another(f"a{number}@example.com")
    for what, number, role in steps:
        email = f"a{number}@example.com"
        found = entrance.database.read(lambda tx, email=email: administrators.get(tx, operator, email))
        (acting, *_) = admins_with_a_way_in(entrance)
        principal = entrance.database.read(
            lambda tx, acting=acting: administrators.get(tx, operator, acting)
        ).principal("")
        act = entrance.act(principal)
        verbs: dict[str, Any] = {
            "role": lambda tx: administrators.change_role(tx, act, email, role, revision=found.revision),  # noqa: B023 - called at once
            "disable": lambda tx: administrators.disable(tx, act, email),  # noqa: B023 - called at once
            "enable": lambda tx: administrators.enable(tx, act, email),  # noqa: B023 - called at once
            "reset": lambda tx: administrators.reset(tx, act, email),  # noqa: B023 - called at once
        }
        with contextlib.suppress(Conflict):  # to be refused is fine; what counts stands below
            change(verbs[what])
        assert admins_with_a_way_in(entrance)
