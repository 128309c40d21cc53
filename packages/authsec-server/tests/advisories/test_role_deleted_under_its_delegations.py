"""A role is deleted while delegations still name it; later another team creates a role of the same name, with more
actions, and old agents find themselves with its authority."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.delegations import service
from authsec_server.failures import Conflict
from authsec_server.roles import service as roles
from sqlalchemy.exc import IntegrityError


def test_a_role_with_delegations_that_can_still_give_something_stays(estate: Any) -> None:
    role, client = estate.role(), estate.agent()
    disabled = estate.delegate().delegation.id
    estate.do(lambda tx, act: service.disable(tx, act, disabled, estate.terms))
    with pytest.raises(Conflict, match=disabled):
        estate.do(lambda tx, act: service.delete_role(tx, act, role.id))
    assert estate.see(lambda tx, _act: service.of_client(tx, client.id))[0][1] == role


def test_the_database_itself_refuses_to_leave_an_orphan(estate: Any) -> None:
    """Whatever a later verb forgets to ask."""
    role, _ = estate.role(), estate.agent()
    estate.delegate()
    with pytest.raises(IntegrityError):
        estate.do(lambda tx, act: roles.remove(tx, act, role, delegations=()))
    assert estate.see(lambda tx, act: roles.get(tx, act, role.id)) == role


def test_a_role_of_the_same_name_inherits_nothing(estate: Any) -> None:
    role, client = estate.role(), estate.agent()
    estate.delegate(ends_at=estate.act.now + timedelta(hours=1))
    estate.act = replace(estate.act, now=estate.act.now + timedelta(hours=1))
    estate.do(lambda tx, act: service.delete_role(tx, act, role.id))
    other = estate.role("Support", "customers:delete", "customers:read", "payments:send")
    assert (other.slug, other.id == role.id) == (role.slug, False)
    assert estate.see(lambda tx, _act: service.of_client(tx, client.id)) == []
