"""In an incident a role loses an action. Months later somebody gives it back, for one agent: every delegation that had
allowed the action all along gives it again, to agents that nobody thought of."""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.delegations import impact
from authsec_server.delegations.effective import effective_actions
from authsec_server.roles import service as roles

pytestmark = pytest.mark.sqlite_suffices

LESS = {"name": "Support", "description": "", "actions": ["customers:read"]}
BOTH = ["customers:delete", "customers:read"]


def test_whoever_gives_it_back_is_told_who_gets_it(estate: Any) -> None:
    estate.role()
    for name in ("Helper", "Forgotten"):
        estate.agent(name)
    estate.delegate()
    forgotten = estate.delegate(client="forgotten", actions=tuple(BOTH)).delegation
    estate.do(lambda tx, act: roles.edit(tx, act, "support", revision=1, changes=LESS))
    found = estate.see(lambda tx, act: impact.of_role_edit(tx, act, "support", BOTH, estate.terms))
    assert [each.name for each in found.gains] == ["Support → Forgotten"]
    dormant = [
        row for row in estate.see(lambda tx, act: effective_actions(tx, act, "forgotten", estate.terms)) if row.dormant
    ]
    assert [(row.action, row.delegation.id) for row in dormant] == [("customers:delete", forgotten.id)]


def test_a_role_that_grows_gives_nothing_to_delegations_of_all_its_actions(estate: Any) -> None:
    """ "Select All" means all of that day."""
    estate.role()
    estate.agent()
    estate.delegate(actions=(), all_actions=True)
    more = [*BOTH, "payments:send"]
    assert estate.see(lambda tx, act: impact.of_role_edit(tx, act, "support", more, estate.terms)).gains == ()
    estate.do(lambda tx, act: roles.edit(tx, act, "support", revision=1, changes={"actions": more}))
    rows = estate.see(lambda tx, act: effective_actions(tx, act, "helper", estate.terms))
    assert [row.action for row in rows] == BOTH
