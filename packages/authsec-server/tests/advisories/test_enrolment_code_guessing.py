"""A stranger tries codes, as fast as it can: to find one, to fill the disk, or to keep agents waiting.

160 bits are not guessed. What a stranger may cost is bounded: tries by network, rows by the minute, and without a code
that is open nobody is given the authority lock, for which every token waits.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec.enrolment_code import text_of
from laptops import ENROL, Laptop, code_for, pod_of

UNKNOWN = "0000-0000-0000-0000-0000-0000-0000-0000"


def test_tries_end_at_the_limit_of_the_network_and_are_few_rows(house: Any) -> None:
    its = house(local_operator=True)
    pod = pod_of(its)
    code = code_for(its, pod)
    before = len(its.events())
    for number in range(60):
        Laptop(its, address=f"2001:db8::{number:x}").enrols(pod, text_of(bytes([number] * 20)))
    counted = [(each.event.kind, each.event.address, each.event.reason, each.count) for each in its.events()[before:]]
    assert counted == [
        ("enrolment.refused", "2001:db8::/64", "code_unknown", 20),
        ("enrolment.refused", "2001:db8::/64", "rate_limited", 40),
    ]
    limited = Laptop(its, address="2001:db8::1").enrols(pod, code)
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "3")
    assert Laptop(its).enrols(pod, code).status_code == 201, "from elsewhere it is good"


@pytest.mark.soak
def test_a_right_code_is_charged_to_nobody(house: Any) -> None:
    """More developers than may fail in a minute, behind one address."""
    its = house(local_operator=True)
    for number in range(2):
        pod = pod_of(its, f"Pod{number}")
        for _ in range(11):
            assert Laptop(its).enrols(pod, code_for(its, pod)).status_code == 201


def test_one_answer_for_every_code_that_is_no_good(house: Any) -> None:
    its = house(local_operator=True)
    pod = pod_of(its)
    used, taken, old = (code_for(its, pod) for _ in range(3))
    Laptop(its).enrols(pod, used)
    open_ones = its.door().get(f"/authsec/api/v1/clients/{pod}/enrolments").json()["items"]
    for each in open_ones:
        its.door().post(f"/authsec/api/v1/clients/{pod}/enrolments/{each['id']}/take-back")
    unheard_of = "3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88"
    tries = [(pod, used), (pod, taken), (pod, old), (pod, UNKNOWN), (pod, "nonsense"), (unheard_of, UNKNOWN), ("", "")]
    answers = [Laptop(its, address=f"198.51.100.{number}").enrols(*each) for number, each in enumerate(tries)]
    assert {answer.status_code for answer in answers} == {403}
    assert len({(each.json()["error"], each.json()["details"]) for each in answers}) == 1


@pytest.mark.parametrize("code", [UNKNOWN, "nonsense"])
def test_a_stranger_never_has_the_lock(house: Any, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    its = house(local_operator=True)
    pod = pod_of(its)
    monkeypatch.setattr(type(its.authority.database), "change", lambda *_: pytest.fail("asked for the lock"))
    assert its.door().post(ENROL, json={"client_id": pod}).status_code == 400
    assert Laptop(its).enrols(pod, code).status_code == 403
