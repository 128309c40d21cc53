"""Anybody may send a token to be ended (RFC 7009), so a stranger tries to end another's: by its jti, which logs show.

Only the whole token will do, signed by this authority and under its name. What else is sent is answered alike, and
leaves neither an entry in the feed nor a row in the audit log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from authsec.jose import PrivateKey, parse_compact, sign_compact
from authsec_server.tokens.revocation import PATH, REVOKE
from long_runs import some_of
from ready_keys import STRANGERS

ENDPOINT = "/authsec/uflow/sdk/delegation-token"


class Known:
    """What a stranger knows of the token, who has seen all of it but the signature."""

    def __init__(self, its: Any) -> None:
        client_id = its.delegated_name()
        self.token = str(its.door().get(ENDPOINT, params={"client_id": client_id}).json()["token"])
        jws = parse_compact(self.token)
        self.header, self.claims = dict(jws.header), dict(jws.claims)
        self.key = its.authority.tokens.signer.open(self.header["kid"])

    def signed(self, key: PrivateKey, header: Mapping[str, Any] = {}, **claims: Any) -> str:
        return sign_compact(self.header | dict(header), self.claims | claims, key)


ATTEMPTS = {
    "its jti": lambda known: known.claims["jti"],
    "its jti in quotes": lambda known: json.dumps(known.claims["jti"]),
    "without its signature": lambda known: known.token.rpartition(".")[0] + ".",
    "signed by a key of the stranger's own": lambda known: known.signed(STRANGERS),
    "signed by a key that the stranger names": lambda known: known.signed(
        STRANGERS, {"kid": STRANGERS.public.thumbprint()}
    ),
    "of another authority": lambda known: known.signed(known.key, iss="https://authority.example.org"),
    "of another type": lambda known: known.signed(known.key, {"typ": "JWT"}),
    "of a head of the feed": lambda known: known.signed(known.key, {"typ": "authsec-revocations+jwt"}),
    "with a jti that nobody was given": lambda known: known.signed(known.key, jti="0" * 32),
    "with a jti that is none": lambda known: known.signed(known.key, jti="%"),
}


@pytest.mark.parametrize("attempt", some_of(ATTEMPTS))
def test_less_than_the_token_does_nothing(house: Any, attempt: str) -> None:
    its = house()
    known = Known(its)
    before = its.events()
    answer = its.door("198.51.100.7").post(REVOKE, data={"token": ATTEMPTS[attempt](known)})
    assert (answer.status_code, answer.content) == (200, b"")
    assert its.events() == before
    assert its.authority.feed.last() == 0
    its.door("198.51.100.7").post(REVOKE, data={"token": known.token})
    assert its.authority.feed.last() == 1, "the token itself does"


def test_an_operator_who_pastes_a_forged_one_is_told(house: Any) -> None:
    its = house(local_operator=True)
    known = Known(its)
    for forged in (known.signed(STRANGERS), known.signed(known.key, iss="https://authority.example.org")):
        answer = its.door().post(PATH, json={"token": forged})
        assert (answer.status_code, answer.json()["field"]) == (400, "token")
    assert its.authority.feed.last() == 0
