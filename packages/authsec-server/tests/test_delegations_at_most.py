"""How many trust delegations a client may have, and that events of all of them can be read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind
from authsec_server.db import Tx
from authsec_server.delegations import service, store
from authsec_server.delegations.model import MAX_DELEGATIONS, Delegation, Proposal
from authsec_server.failures import Conflict

pytestmark = pytest.mark.sqlite_suffices

LONG = "\N{GRINNING FACE}" * 119  # twelve characters of JSON each


@pytest.fixture
def first(estate: Any) -> Delegation:
    """The one delegation of an agent with the longest name that takes the most room in JSON."""
    estate.role(f"S{LONG}")
    estate.agent(f"A{LONG}", slug="helper")
    its: Delegation = estate.delegate(role="s").delegation
    return its


def _add(estate: Any, first: Delegation, number: int, **changes: Any) -> None:
    def add(tx: Tx, act: Any) -> None:
        for each in range(number):
            store.add(tx.connection, replace(first, id=act.new_id(), slug="", max_duration=61 + each, **changes))

    estate.database.append(lambda tx: add(tx, estate.act))


def _another(estate: Any, first: Delegation) -> Proposal:
    return Proposal(
        role=first.role_id, client="helper", target_type="MCP server", actions=first.actions, max_duration=3600
    )


def test_a_client_has_no_more_delegations_than_one_event_names(estate: Any, first: Delegation) -> None:
    _add(estate, first, MAX_DELEGATIONS - 2)
    _add(estate, first, 5, revoked_at=estate.act.now)  # they are over
    proposal = _another(estate, first)
    estate.do(lambda tx, act: service.create(tx, act, proposal, estate.terms))
    other = replace(proposal, max_duration=3601)
    told = f"has {MAX_DELEGATIONS} trust delegations that are live or disabled. The limit is {MAX_DELEGATIONS} for"
    with pytest.raises(Conflict, match=told) as refused:
        estate.do(lambda tx, act: service.create(tx, act, other, estate.terms))
    assert "Revoke unneeded" in refused.value.remedy
    with pytest.raises(Conflict, match=told):
        estate.see(lambda tx, act: service.propose(tx, act, other, estate.terms, delegation_id="new"))
    estate.do(lambda tx, act: service.revoke(tx, act, first.id, estate.terms))
    estate.do(lambda tx, act: service.create(tx, act, other, estate.terms))


def test_the_deletion_of_any_number_of_delegations_can_be_read(estate: Any, first: Delegation) -> None:
    _add(estate, first, 2 * MAX_DELEGATIONS, revoked_at=estate.act.now)
    estate.do(lambda tx, act: service.delete_client(tx, act, "helper", estate.terms))
    newest = estate.see(lambda tx, act: audit.page(tx, act.principal, limit=20)).items
    deleted = [each.event for each in newest if each.event.kind is EventKind.CLIENT_DELETED]
    assert [len(event.delegations) for event in deleted] == [1, MAX_DELEGATIONS, MAX_DELEGATIONS]
    assert not [each for each in newest if each.event.kind is EventKind.EVENT_UNREADABLE]
