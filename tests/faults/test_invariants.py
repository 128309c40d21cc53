"""Each check of the fault harness finds the violation that it is for, and nothing in a run without one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .invariants import violations
from .observations import Change, Observations, Sighting, Token, Window

CLIENT, OTHER = "client-1", "client-2"
TOKEN = Token(
    jti="t1", client=CLIENT, delegations=("d1",), roles=("r1",), version=5, digest="aa", sent=1.0, received=1.1, port=1
)
DISABLED = Change(kind="client.disabled", subject=CLIENT, request_id="req_1", sent=2.0, answered=2.1)


def event(number: int, kind: str, version: int, **more: Any) -> dict[str, Any]:
    empty = {"client": {"id": CLIENT}, "delegations": [], "jti": "", "token_sha256": "", "request_id": ""}
    return empty | {"id": number, "kind": kind, "authority_version": version} | more


ISSUED = event(2, "token.issued", 5, jti="t1", token_sha256="aa", delegations=[{"id": "d1"}])
LOG = [event(1, "client.created", 4), ISSUED, event(3, "client.disabled", 6, request_id="req_1")]


def seen(**more: Any) -> Observations:
    return Observations(**{"tokens": [TOKEN], "changes": [DISABLED]} | more)


def found(observations: Observations, log: list[dict[str, Any]], *, enabled: bool = False) -> set[str]:
    """The names of the broken invariants."""
    return {name for name, several in violations(observations, log, {CLIENT: enabled}).items() if several}


def test_a_run_without_a_violation_has_none() -> None:
    assert found(seen(), LOG) == set()


def test_what_a_fault_itself_has_seen_is_found() -> None:
    for name, several in {"stuck": "stuck", "partial": "partial", "lasting": "lasting", "older": "unasked"}.items():
        assert found(seen(**{several: ["it was so"]}), LOG) == {name}


def test_a_token_without_its_event_is_found_and_one_with_another_hash() -> None:
    assert found(seen(tokens=[TOKEN, replace(TOKEN, jti="t2")]), LOG) == {"unrecorded"}
    assert found(seen(tokens=[replace(TOKEN, digest="bb")]), LOG) == {"unrecorded"}


def test_an_acknowledged_change_that_is_not_in_the_log_is_found() -> None:
    assert found(seen(), LOG[:2], enabled=True) == {"lost"}
    assert found(seen(), LOG, enabled=True) == {"lost"}, "and one that is not in effect"


def test_a_token_behind_a_change_that_covers_it_is_found() -> None:
    late = ISSUED | {"id": 4, "jti": "t2"}
    assert found(seen(), [*LOG, late]) == {"after"}
    given = replace(TOKEN, sent=3.0, received=3.1)
    assert found(seen(tokens=[given]), LOG) == {"after"}, "also one that was recorded before and handed out later"


def test_a_revoked_token_that_an_api_accepts_too_late_or_again_is_found() -> None:
    late = {(0, "t1"): Sighting(first_accepted=1.2, last_accepted=2.1 + 9)}
    assert found(seen(sightings=late), LOG) == {"accepted"}
    assert found(seen(sightings=late, faults=[Window(begin=1.5, end=2.5)]), LOG) == set(), "a fault has the stale limit"
    again = {(0, "t1"): Sighting(first_accepted=1.2, last_accepted=2.5, first_refused=2.4, accepted_again=True)}
    assert found(seen(sightings=again), LOG) == {"accepted"}


def test_a_token_of_the_time_that_a_restore_has_lost_must_be_refused() -> None:
    lost = [Window(begin=0.5, end=1.5)]
    accepted = {(0, "t1"): Sighting(first_accepted=1.2, last_accepted=1.4)}
    assert found(seen(changes=[], lost=lost, sightings=accepted), LOG[:1], enabled=True) == set()
    accepted[0, "t1"].last_accepted = 20.0
    assert found(seen(changes=[], lost=lost, sightings=accepted), LOG[:1], enabled=True) == {"accepted"}
