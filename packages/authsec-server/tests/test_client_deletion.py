"""Deleting a client together with what was delegated to it: one change, or none; on both databases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from authsec_server.audit.model import Named
from authsec_server.clients import service as clients
from authsec_server.db import Tx
from authsec_server.delegations import search, service
from authsec_server.delegations.model import DelegationState
from authsec_server.failures import NotFound, NotPermitted
from authsec_server.principal import Act, Role
from authsec_server.revocations.model import SubjectKind


def test_its_delegations_go_with_it(estate: Any) -> None:
    estate.role()
    client, other = estate.agent(), estate.agent("Other")
    live, revoked = estate.delegate().delegation.id, estate.delegate(max_duration=60).delegation.id
    kept = estate.delegate(client="other").delegation.id
    estate.do(lambda tx, act: service.revoke(tx, act, revoked, estate.terms))
    before = len(estate.endings())
    gone = estate.do(lambda tx, act: service.delete_client(tx, act, client.slug, estate.terms))
    assert gone == client
    for delegation in (live, revoked):
        with pytest.raises(NotFound):
            estate.see(lambda tx, act, id_=delegation: service.get(tx, act, id_, estate.terms))
    with pytest.raises(NotFound):
        estate.see(lambda tx, act: clients.get(tx, act, client.id))
    assert estate.see(lambda tx, _act: service.of_client(tx, other.id))[0][0].id == kept
    ended = estate.endings()[before:]
    assert {each[:2] for each in ended} == {(SubjectKind.DELEGATION, live), (SubjectKind.CLIENT, client.id)}
    assert len({version for _, _, version in ended}) == 1, "one change"
    (revocation,) = [each for each in estate.events("delegation.revoked") if each.detail]
    assert revocation.detail == {"because": "its client was deleted"}
    (deletion,) = estate.events("client.deleted")
    assert set(deletion.delegations) == {Named(id=each, name="Support → Helper") for each in (live, revoked)}
    assert deletion.request_id == revocation.request_id


def test_a_failed_deletion_changes_nothing(estate: Any) -> None:
    estate.role()
    client = estate.agent()
    estate.delegate()

    def delete_then_fail(tx: Tx, act: Act) -> None:
        service.delete_client(tx, act, client.id, estate.terms)
        raise ValueError("the disk is full")

    with pytest.raises(ValueError, match="disk"):
        estate.do(delete_then_fail)
    assert estate.endings() == []
    assert estate.see(lambda tx, act: search.tally(tx, act, act.now))[DelegationState.LIVE] == 1


def test_a_viewer_deletes_nothing(estate: Any) -> None:
    client = estate.agent()
    estate.act = replace(estate.act, principal=replace(estate.act.principal, role=Role.VIEWER))
    with pytest.raises(NotPermitted):
        estate.do(lambda tx, act: service.delete_client(tx, act, client.id, estate.terms))
    assert estate.see(lambda tx, act: clients.get(tx, act, client.id)) == client
