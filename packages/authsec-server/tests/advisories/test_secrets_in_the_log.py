"""Tokens, proofs and admin keys end in log files, and whoever reads logs is an agent or an administrator."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

ENDPOINT = "/authsec/uflow/sdk/delegation-token"


def test_no_secret_reaches_log_or_audit_log(house: Any, capfd: pytest.CaptureFixture[str]) -> None:
    its = house(local_operator=True)
    agent, operator = its.delegated_agent(), its.door()
    made = operator.post("/authsec/api/v1/admin-keys", json={"name": "robot", "role": "admin", "expires_in": None})
    assertion, spoilt = agent.assertion(), agent.assertion(aud="https://elsewhere.example")
    answers = [
        operator.get(ENDPOINT, params={"client_id": agent.client_id}, headers={"Authorization": f"Bearer {proof}"})
        for proof in (assertion, assertion, spoilt)
    ]
    assert [answer.status_code for answer in answers] == [200, 401, 401]
    operator.get(f"{ENDPOINT}?client_id={agent.client_id}&access_token={assertion}")
    token = answers[0].json()["token"]
    secrets = {part for text in (token, assertion, spoilt) for part in text.split(".")[1:]} | {made.json()["key"]}
    out, err = capfd.readouterr()
    audit_log = json.dumps([asdict(recorded) for recorded in its.events()], default=str)
    assert "request" in out + err, "nothing was logged"
    for secret in secrets:
        assert secret not in out + err
        assert secret not in audit_log
