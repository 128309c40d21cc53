"""A "policy check" decoded a JWT and did not verify it when a flag was off: whoever wrote claims was believed.

Here a token can be tried at a trusted issuer. What nobody signed is shown as what the token says, and compared with no
agent; where the keys are not known, the answer is that nobody knows. No setting turns any of it off.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from attesting import HELPER
from authsec_server.settings import Settings
from trusted_issuers import agent, trust
from workload_evidence import OTHER_RSA, Issuer, encoded, kubernetes


def tried(its: Any, issuer: Issuer, token: str) -> Any:
    return its.door().post(f"/authsec/api/v1/issuers/{issuer.trusted_issuer.slug}/try", json={"token": token}).json()


def state(told: Any, name: str) -> str:
    return next(str(step["state"]) for step in told["steps"] if step["step"] == name)


@pytest.fixture
def its(house: Any) -> Any:
    return house(local_operator=True)


def test_claims_that_nobody_signed_are_compared_with_no_agent(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    agent(its, issuer, *HELPER)
    good = issuer.token()
    assert tried(its, issuer, good)["satisfies"]
    signed, _, signature = good.rpartition(".")
    none = issuer.token(header={"alg": "none"}).rpartition(".")[0]
    for forged in (issuer.token(key=OTHER_RSA), f"{signed}.{encoded(b'x' * 256)}", f"{signed}.{signature[:-8]}", none):
        told = tried(its, issuer, forged)
        assert (told["holds"], told["signed"]) == (False, False)
        assert (told["satisfies"], told["nearest"], told["selectors"]) == ([], [], [])


def test_where_the_keys_are_not_known_nobody_knows(its: Any) -> None:
    issuer = kubernetes(issuer="https://away.example")
    trust(its, issuer, keys_from="url", keys_url="https://127.0.0.1:1/keys", given_keys=None)
    agent(its, issuer, *HELPER)
    told = tried(its, issuer, issuer.token())
    assert state(told, "signature") == "unknown"
    assert (told["holds"], told["signed"], told["satisfies"], told["selectors"]) == (False, False, [], [])


def test_no_setting_turns_verification_off() -> None:
    off = re.compile(r"verif|skip|insecure|unsafe|mock|debug|trust_all|disable")
    assert [name for name in Settings.model_fields if off.search(name)] == []
