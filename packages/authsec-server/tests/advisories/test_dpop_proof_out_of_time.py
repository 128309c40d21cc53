"""A proof that was stolen yesterday, or made for tomorrow. A huge `iat` made others' arithmetic overflow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from dpop_proofs import KEY, URL, proof, sent, unsigned_proof
from jose_attacks import encoded
from token_endpoint import by_assertion
from workload_evidence import NOW

SECONDS = int(NOW.timestamp())


TIMES: list[Any] = [
    SECONDS - 61,
    SECONDS + 61,
    SECONDS - 86_400,
    SECONDS + 86_400,
    0,
    -1,
    -SECONDS,
    2**31,
    2**53,
    2**53 - 1,
    2**63,
    10**30,
    10**400,
    -(10**400),
    float(SECONDS),
    SECONDS + 0.5,
    1e308,
    str(SECONDS),
    True,
    None,
    [SECONDS],
    {"iat": SECONDS},
]
NUMBERS = ("1e999", "-1e999", "NaN", "Infinity", "9" * 6000, "1" + "0" * 400)


@pytest.fixture
def error(house: Any) -> Callable[[str], str]:
    """The error of a request with this proof; empty for a granted one."""
    its = house()
    agent = its.delegated_agent()

    def ask(made: str) -> str:
        answer = by_assertion(its.door(), agent.assertion(), headers=sent(made))
        assert answer.status_code in {200, 400}, answer.text
        return str(answer.json().get("error", ""))

    return ask


def test_a_proof_is_valid_for_a_minute(error: Callable[[str], str]) -> None:
    found = {str(iat)[:30]: error(proof(KEY, NOW, iat=iat)) for iat in TIMES}
    assert found == dict.fromkeys(found, "invalid_dpop_proof")
    for seconds in (-60, -1, 0, 1, 60):
        assert error(proof(KEY, NOW + timedelta(seconds=seconds))) == "", seconds


def test_a_number_that_json_or_arithmetic_does_not_take(error: Callable[[str], str]) -> None:
    head = unsigned_proof(KEY, NOW).split(b".")[0].decode()
    for number in NUMBERS:
        claims = f'{{"jti":"one","htm":"POST","htu":"{URL}","iat":{number}}}'
        unsigned = f"{head}.{encoded(claims.encode())}"
        assert error(f"{unsigned}.{encoded(KEY.sign(unsigned.encode()))}") == "invalid_dpop_proof", number[:20]


def test_a_proof_has_a_name_of_its_own(error: Callable[[str], str]) -> None:
    for jti in ("", None, 7, ["one"], True, "x" * 257):
        assert error(proof(KEY, NOW, jti=jti)) == "invalid_dpop_proof", jti
    assert error(proof(KEY, NOW, jti="x" * 256)) == ""
