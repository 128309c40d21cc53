"""What the operator is told about a refusal."""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.tokens.hints import Place, remedy, remedy_of
from authsec_server.tokens.refusal import Reason


@pytest.mark.parametrize("reason", Reason)
def test_every_refusal_has_a_remedy_and_a_place_for_it(reason: Reason) -> None:
    """Also one whose event says nothing further, as those of unproved callers do."""
    found = remedy(reason, {})
    assert found.text.endswith((".", "passed."))
    assert found.text[0].isupper()
    assert found.place in Place


def test_who_holds_nothing_that_can_be_checked_is_led_to_the_next_step_and_not_to_connect() -> None:
    assert remedy(Reason.ATTESTATION_REQUIRED, {}).place is Place.CONNECT
    found = remedy(Reason.ATTESTATION_REQUIRED, {}, can_prove=False)
    assert found.place is Place.CLIENT
    assert "add a trusted issuer or a key pair" in found.text
    assert remedy(Reason.NO_DELEGATION, {}, can_prove=False) == remedy(Reason.NO_DELEGATION, {})


def test_only_refusals_have_a_remedy(house: Any) -> None:
    its = house()
    client_id = its.delegated_name()
    asked = {"client_id": client_id}
    assert its.door().get("/authsec/uflow/sdk/delegation-token", params=asked).status_code == 200
    assert its.door().get("/authsec/uflow/sdk/delegation-token", params=asked | {"scope": "a:b"}).status_code == 403
    told = {each.event.kind: remedy_of(each.event) for each in its.events()}
    assert [kind for kind, helps in told.items() if helps] == ["token.refused"]


def test_what_was_missing_is_named_and_the_smaller_request() -> None:
    detail = {"actions": ["customers:delete", "customers:read"], "missing": ["customers:delete"]}
    found = remedy(Reason.ACTION_NOT_ALLOWED, detail | {"smaller": ["customers:read"]})
    assert found.text == (
        "Not delegated to the agent: customers:delete. Allow it in a trust delegation, or remove it from the "
        "agent's request. scope=customers:read would have been granted."
    )
    assert (found.place, found.scope) == (Place.DELEGATIONS, "customers:read")
    assert remedy(Reason.ACTION_NOT_ALLOWED, detail).text == (
        "Not delegated to the agent: customers:delete. Allow it in a trust delegation, or remove it from the "
        "agent's request."
    )
    other = remedy(Reason.ACTION_NOT_ALLOWED, detail | {"withheld": ["customers:delete"]})
    assert other.text.startswith("A trust delegation allows customers:delete, but does not accept the proof of the")
    typed = {"missing": ["customers:raed"], "unknown": ["customers:raed"], "smaller": []}
    assert remedy(Reason.ACTION_NOT_ALLOWED, typed).text == (
        "Correct customers:raed where the agent requests the action, or add the action to a role."
    )


def test_an_agent_that_asked_for_all_and_got_nothing_has_a_role_that_lost_it() -> None:
    assert "roles no longer have" in remedy(Reason.ACTION_NOT_ALLOWED, {"actions": None, "missing": []}).text


def test_what_an_agent_without_a_proof_asked_for_is_not_recorded_and_no_role_is_accused(house: Any) -> None:
    its = house()
    asked = {"client_id": its.delegated_name(), "scope": "customers:delete"}
    assert its.door().get("/authsec/uflow/sdk/delegation-token", params=asked).status_code == 403
    found = remedy_of(next(each.event for each in its.events() if each.event.reason == Reason.ACTION_NOT_ALLOWED))
    assert found
    assert "not delegated to it, or that its role no longer has" in found.text
    assert "add the actions to the role again" not in found.text


def test_an_ambiguous_request_is_told_from_one_for_another_api() -> None:
    assert remedy(Reason.INVALID_TARGET, {"resources": []}).place is Place.CONNECT
    elsewhere = remedy(Reason.INVALID_TARGET, {"resources": ["payments"]})
    assert "payments" in elsewhere.text
    assert elsewhere.place is Place.DELEGATIONS


def test_the_kind_of_proof_is_named() -> None:
    assert "by key pair" in remedy(Reason.PROOF_NOT_ACCEPTED, {"attestation": "key_pair"}).text
    assert "by client_id only" in remedy(Reason.PROOF_NOT_ACCEPTED, {"attestation": "none"}).text


def test_a_detail_of_another_shape_breaks_nothing() -> None:
    odd: list[dict[str, Any]] = [{"missing": "customers:read"}, {"missing": [1, None]}, {"resources": {"a": 1}}]
    for detail in odd:
        for reason in Reason:
            assert remedy(reason, detail).text


def test_a_refused_agents_event_carries_what_the_remedy_needs(house: Any) -> None:
    its = house()
    agent = its.delegated_agent()
    door = its.door(authorization=f"Bearer {agent.assertion(its.clock.now())}")
    asked = {"client_id": agent.client_id, "scope": "customers:delete customers:read"}
    assert door.get("/authsec/uflow/sdk/delegation-token", params=asked).status_code == 403
    event = its.events()[-1].event
    assert remedy(Reason(event.reason), event.detail).scope == "customers:read"
