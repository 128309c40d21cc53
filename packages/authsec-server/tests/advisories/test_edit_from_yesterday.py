"""A form stands open since yesterday. Meanwhile the agent was handed over to another owner; saving the old form would
silently hand it back, and nobody would know who is responsible.
"""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from authsec_server.clients import service
from authsec_server.clients.model import Client, Onboarding
from authsec_server.db import Database
from authsec_server.failures import Outdated
from authsec_server.principal import Act


def edit(database: Database, act: Act, client: Client, asked: dict[str, object], name: str) -> Client:
    its = replace(act, principal=replace(act.principal, name=name))
    return database.change(lambda tx: service.edit(tx, its, client.id, revision=client.revision, changes=asked))


def onboard(database: Database, act: Act) -> Client:
    wanted = Onboarding(name="Payroll", platform="unattested", owner="Ada")
    return database.change(lambda tx: service.create(tx, act, wanted))


def test_the_old_form_is_refused_whatever_it_says(database: Database, act: Act) -> None:
    seen = onboard(database, act)
    handed_over = edit(database, act, seen, {"owner": "Ben"}, "Ben")
    for asked in ({"owner": "Ada"}, {"description": "Pays"}, {"owner": "Ben"}, {}):
        with pytest.raises(Outdated) as caught:
            edit(database, act, seen, asked, "Ada")
        assert (caught.value.by, caught.value.at) == ("Ben", act.now)
    assert database.read(lambda tx: service.load(tx, seen.id)) == handed_over
    for never in (0, -1, 3, 10**30):
        with pytest.raises(Outdated):
            edit(database, act, replace(seen, revision=never), {"owner": "Ada"}, "Ada")


def test_of_many_that_save_at_once_exactly_one_does(database: Database, act: Act) -> None:
    seen, outcomes = onboard(database, act), []

    def save(name: str) -> None:
        try:
            outcomes.append(edit(database, act, seen, {"owner": name}, name))
        except Outdated as outdated:
            outcomes.append(outdated)

    threads = [threading.Thread(target=save, args=(f"person {number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (saved,) = (each for each in outcomes if isinstance(each, Client))
    assert {each.by for each in outcomes if isinstance(each, Outdated)} == {saved.owner}
    assert database.read(lambda tx: service.load(tx, seen.id)) == saved
