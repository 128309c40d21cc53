"""An enrolled laptop enrols itself again, before its hours are over, and so on without end.

Others had a public "renew" that turned a one-minute token into an endless one. Here each key is good for the hours of
its own code, nothing that the laptop holds makes another, and no token outlives the key.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from laptops import CLIENTS, ENROL, Laptop, code_for, pod_of


def test_what_a_laptop_holds_gets_it_no_more_hours(house: Any) -> None:
    local, its = house(local_operator=True), house()
    pod, laptop = pod_of(local, "Pod"), Laptop(its)
    code = code_for(local, pod, hours=1)
    first = laptop.enrols(pod, code).json()
    token = laptop.asks(pod).json()["token"]
    again = Laptop(its)
    for answer in (laptop.enrols(pod, code), again.enrols(pod, code), again.enrols(pod, token)):
        assert (answer.status_code, answer.json()["reason"]) == (403, "enrolment_refused")
    door = its.door(Authorization=f"Bearer {token}")
    for path in (f"{CLIENTS}/{pod}/enrolments", f"{CLIENTS}/{pod}/proofs", f"{CLIENTS}/{pod}/enrolments/x/take-back"):
        assert door.post(path, json={}).status_code == 401
    for asked in ({"hours": 168}, {"expires_at": "2027-01-01T00:00:00Z"}):
        assert its.door().post(ENROL, json={"client_id": pod, "code": code, **asked}).status_code == 400
    its.clock.at += timedelta(minutes=50)
    assert laptop.asks(pod).json()["expires_in"] == 600, "not the delegation's day"
    its.clock.at += timedelta(minutes=10)
    assert first["expires_at"] == "2026-11-25T13:00:00Z"
    assert laptop.asks(pod).json()["reason"] == "attestation_invalid"
