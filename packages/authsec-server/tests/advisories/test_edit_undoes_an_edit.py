"""Bob has a form open. Ada takes an action away in an incident. Bob mends a typing error, and his form, which still
holds everything as it was, gives the action back: nobody decided that, nobody notices."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from authsec_server.apis import service as apis
from authsec_server.apis.model import Action
from authsec_server.db import Tx
from authsec_server.delegations import editing
from authsec_server.delegations import service as delegations
from authsec_server.failures import Outdated
from authsec_server.principal import Act
from authsec_server.roles import service as roles

BOTH, LESS = ("customers:delete", "customers:read"), ("customers:read",)
Save = Callable[[Tx, Act, tuple[str, ...], str], Any]


def saving(estate: Any, what: str) -> tuple[Save, Callable[[], tuple[str, ...]]]:
    """How the form of a role, an API or a delegation is saved, with the revision it was read at; and what stands."""
    role, _ = estate.role(), estate.agent()
    delegation = estate.delegate(actions=BOTH).delegation
    described = [Action(action=action, description="…") for action in BOTH]
    api = estate.do(lambda tx, act: apis.create(tx, act, name="A", identifier="a-api", actions=described))

    def save_role(tx: Tx, act: Act, actions: tuple[str, ...], description: str) -> None:
        values = {"name": role.name, "description": description, "actions": actions}
        roles.edit(tx, act, role.id, revision=1, changes=values)

    def save_api(tx: Tx, act: Act, actions: tuple[str, ...], description: str) -> None:
        its = [each for each in described if each.action in actions]
        values = {"name": api.name, "identifier": api.identifier, "description": description, "actions": its}
        apis.edit(tx, act, api.id, revision=1, changes=values)

    def save_delegation(tx: Tx, act: Act, actions: tuple[str, ...], description: str) -> None:
        wanted = {
            "target_type": delegation.target_type,
            "max_duration": delegation.max_duration,
            "actions": actions,
            "owner": delegation.owner,
            "description": description,
        }
        editing.edit(tx, act, delegation.id, wanted, estate.terms, revision=1)

    def of_delegation(tx: Tx, act: Act) -> tuple[str, ...]:
        return delegations.get(tx, act, delegation.id, estate.terms).delegation.actions

    return {
        "role": (save_role, lambda: estate.see(lambda tx, act: roles.get(tx, act, role.id).actions)),
        "api": (
            save_api,
            lambda: tuple(each.action for each in estate.see(lambda tx, act: apis.get(tx, act, api.id).actions)),
        ),
        "delegation": (save_delegation, lambda: estate.see(of_delegation)),
    }[what]


def named(act: Act, name: str) -> Act:
    return replace(act, principal=replace(act.principal, name=name))


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("what", ["role", "api", "delegation"])
def test_the_second_editor_is_told_by_whom_and_when_and_undoes_nothing(estate: Any, what: str) -> None:
    save, resolved = saving(estate, what)
    ada, bob = named(estate.act, "Ada"), named(estate.act, "Bob")
    estate.database.change(lambda tx: save(tx, ada, LESS, ""))
    with pytest.raises(Outdated, match="changed meanwhile by Ada") as caught:
        estate.database.change(lambda tx: save(tx, bob, BOTH, "without the typing error"))
    assert (caught.value.by, caught.value.at) == ("Ada", ada.now)
    assert resolved() == LESS


@pytest.mark.parametrize(
    "what", ["delegation", *(pytest.param(each, marks=pytest.mark.soak) for each in ("role", "api"))]
)
def test_of_many_at_once_exactly_one_saves(estate: Any, what: str) -> None:
    save, resolved = saving(estate, what)
    ready, outcomes = threading.Barrier(4), []

    def edit(number: int) -> None:
        act = named(estate.act, f"Editor {number}")
        ready.wait(5)
        try:
            estate.database.change(lambda tx: save(tx, act, LESS, f"by {number}"))
        except Outdated as error:
            outcomes.append(error.by)
        else:
            outcomes.append("saved")

    threads = [threading.Thread(target=edit, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("saved") == 1
    (winner,) = set(outcomes) - {"saved"}
    assert winner.startswith("Editor ")
    assert resolved() == LESS
