"""A request has several DPoP headers, and the verifier checks one while something behind it believes the other."""

from __future__ import annotations

import pytest

from ..bound_requests import DOORS, Holder, Outcome, by_dpop, dpop_verifier


@pytest.mark.parametrize("door", DOORS)
def test_exactly_one_proof(door: str) -> None:
    holder, thief = Holder(), Holder()
    bound = holder.token()
    good = holder.proof(bound)
    requests = [
        by_dpop(bound, good, holder.proof(bound)),
        by_dpop(bound, good, good),
        by_dpop(bound, good, thief.proof(bound)),
        by_dpop(bound, thief.proof(bound), good),
        by_dpop(bound, good, ""),
        by_dpop(bound, f"{good}, {good}"),
        by_dpop(bound, f"{good},"),
        by_dpop(bound, good),
    ]
    *refused, let_in = DOORS[door](dpop_verifier(), requests)
    assert [(outcome.status, outcome.reason) for outcome in refused] == [(401, "dpop_proof_invalid")] * 7
    assert let_in == Outcome(200)  # a proof that was refused is not used up
