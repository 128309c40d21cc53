"""Whoever holds one token sends it to be ended, again and again: to fill audit log and feed, to keep the lock that
agents wait for, to have the authority check signatures all day; or sends what is no token and as large as can be.

Or an agent asks for one token after the other and ends each: every one is an entry of the feed, which all APIs read.

A token ends once. What has ended, or never was, takes no lock and leaves no trace; and each network has so many tries a
minute, charged before a signature is looked at. Of one agent so many tokens are ended in this way an hour.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from authsec.jose import PublicKey
from authsec_server.tokens import revocation
from authsec_server.tokens.revocation import PATH, REVOKE

ENDPOINT = "/authsec/uflow/sdk/delegation-token"


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One for each signature that is checked."""
    calls: list[str] = []
    verify = PublicKey.verify

    def counting(self: PublicKey, octets: bytes, signature: bytes, alg: str) -> None:
        calls.append(alg)
        verify(self, octets, signature, alg)

    monkeypatch.setattr(PublicKey, "verify", counting)
    return calls


def token_of(its: Any) -> str:
    client_id = its.delegated_name()
    return str(its.door().get(ENDPOINT, params={"client_id": client_id}).json()["token"])


def test_a_token_ends_once_and_the_tries_end_too(house: Any, checked: list[str], caplog: Any, capfd: Any) -> None:
    its = house(address_limit=20)
    token = token_of(its)
    version = its.authority.database.read(lambda tx: tx.version)
    answers = [its.door("198.51.100.7").post(REVOKE, data={"token": token}) for _ in range(50)]
    assert [answer.status_code for answer in answers] == [200] * 20 + [429] * 30
    refused = answers[-1]
    assert (refused.json()["error"], refused.json()["reason"]) == ("temporarily_unavailable", "rate_limited")
    assert refused.json()["retryable"] is True
    assert int(refused.headers["Retry-After"]) > 0
    assert len(checked) == 20, "of what is over the limit no signature is checked"
    assert [each.event.kind for each in its.events()].count("token.revoked") == its.authority.feed.last() == 1
    assert its.authority.database.read(lambda tx: tx.version) == version + 1, "the lock was taken once"
    assert its.door("192.0.2.1").post(REVOKE, data={"token": token}).status_code == 200, "another network's are its own"
    # Nor does the token of any of them stand anywhere afterwards.
    shown = caplog.text + "".join(capfd.readouterr()) + "".join(answer.text for answer in answers)
    assert token.split(".")[2] not in shown
    assert token.split(".")[1] not in shown


@pytest.mark.parametrize("size", [17_000, 60_000, 70_000, 3_000_000])
def test_what_is_huge_is_not_read(house: Any, checked: list[str], size: int) -> None:
    its = house()
    answer = its.door("198.51.100.7").post(REVOKE, data={"token": "a." * (size // 2)})
    assert answer.status_code == (413 if size > 65_000 else 200)
    assert checked == []
    fields = {f"field{number}": "" for number in range(3000)} | {"token": "a"}
    assert its.door("198.51.100.7").post(REVOKE, data=fields).status_code == 400


def test_an_agent_that_ends_each_token_it_gets_comes_to_an_end(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "OF_A_CLIENT", 3)
    its = house(local_operator=True)
    client_id, door = its.delegated_name(), its.door()
    tokens = [door.get(ENDPOINT, params={"client_id": client_id}).json()["token"] for _ in range(6)]
    answers = [door.post(REVOKE, data={"token": token}) for token in [tokens[0], *tokens]]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 3, "one that has ended costs nothing"
    refused = answers[-1].json()
    assert (refused["error"], refused["retryable"]) == ("temporarily_unavailable", True)
    assert "authsec agents revoke-tokens" in refused["error_description"]
    assert int(answers[-1].headers["Retry-After"]) > 60
    assert its.authority.feed.last() == 3
    other = door.get(ENDPOINT, params={"client_id": its.delegated_name("Another")}).json()["token"]
    assert door.post(REVOKE, data={"token": other}).status_code == 200, "another agent's are its own"
    assert door.post(PATH, json={"token": tokens[-1]}).status_code == 200, "nor does it count for operators"
    its.clock.at += timedelta(seconds=1201)
    assert door.post(REVOKE, data={"token": tokens[3]}).status_code == 200, "and it passes"
