"""Somebody tries credentials of APIs, fast, and watches answers and times.

A credential has 256 random bits: guessing is hopeless, and the limit on failures only keeps it cheap. So the limit must
not be the weapon: an API behind the same address is known all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.apis import store
from authsec_server.apis.authentication import FAILURES_A_MINUTE
from authsec_server.apis.model import Holder
from introspecting import CRM, INTROSPECT, ask, register, token_for
from sqlalchemy import Connection

WRONG = "authsec_api_" + "x" * 43


def test_guesses_are_limited_by_address_and_counted(house: Callable[..., Any]) -> None:
    its = house()
    credential, token = register(its), token_for(its, CRM)
    door = its.door("192.0.2.1")
    tried = [ask(door, token, WRONG).status_code for _ in range(FAILURES_A_MINUTE + 5)]
    assert tried == [401] * FAILURES_A_MINUTE + [429] * 5
    refused = ask(door, token, WRONG)
    assert (refused.json()["error"], refused.json()["reason"]) == ("temporarily_unavailable", "rate_limited")
    assert ask(door, token, credential).json()["active"] is True
    counted = {each.event.reason: each.count for each in its.events() if each.event.kind == "api.refused"}
    assert counted == {"api_credential_unknown": FAILURES_A_MINUTE, "rate_limited": 6}
    its.clock.at += timedelta(seconds=int(refused.headers["Retry-After"]))
    assert ask(door, token, WRONG).status_code == 401


def test_what_is_looked_up_is_a_hash(house: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """So the time that a look-up takes tells of a hash, and nobody can choose a credential by its hash."""
    its = house()
    credential, token = register(its), token_for(its, CRM)
    looked: list[str] = []
    by_hash = store.credential_by_hash

    def watched(connection: Connection, secret_sha256: str) -> Holder | None:
        looked.append(secret_sha256)
        return by_hash(connection, secret_sha256)

    monkeypatch.setattr(store, "credential_by_hash", watched)
    for shown in (credential, WRONG, "authsec_api_short", token):
        ask(its.door(), token, shown)
    assert [len(each) for each in looked] == [64, 64]  # what is no credential by its form is not looked up at all
    assert not {credential, WRONG} & set(looked)


def test_a_stranger_has_no_token_looked_at(house: Callable[..., Any]) -> None:
    """Signatures take time. Who is no API has none checked, and no body read."""
    its = house()
    asked = its.door().post(INTROSPECT, content=b"x" * 1_000_000, headers={"Content-Type": "text/plain"})
    assert asked.status_code == 401
