"""A client secret ends in a log, in the audit log, in the database or in an address, for somebody to find.

Agents' programmers try every way of sending one. None of the wrong ways works, and none leaves it behind.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

ENDPOINT = "/authsec/uflow/sdk/delegation-token"
PATH = "/authsec/api/v1/clients"


def test_it_is_sent_in_one_way_and_found_nowhere(house: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    its = house(local_operator=True)
    door = its.door()
    made = door.post(PATH, json={"name": "Legacy", "platform": "secret"}).json()
    client_id, first = made["client_id"], made["client_secret"]
    second = door.post(f"{PATH}/legacy/secret", json={"overlap": 3600}).json()["client_secret"]
    third = door.post(f"{PATH}/legacy/proofs", json={"platform": "secret"}).json()["client_secret"]
    asked = {"client_id": client_id}
    for secret in (first, second, third):
        pair = b64encode(f"{client_id}:{secret}".encode()).decode()
        for query, header in (
            ({"client_secret": secret}, None),
            ({}, f"Bearer {secret}"),
            ({}, f"Bearer {pair}"),
            ({}, f"Basic {secret}"),
            ({}, f"Basic {client_id}:{secret}"),
            ({}, f"Digest {pair}"),
            ({}, pair),
            ({"scope": secret}, f"Basic {pair}"),
            ({"resource": secret}, f"Basic {pair}"),
        ):
            answer = door.get(ENDPOINT, params=asked | query, headers={"Authorization": header} if header else {})
            assert answer.status_code in {400, 401, 404}
            assert secret[11:] not in answer.text or {"scope", "resource"} & query.keys(), "what was asked is quoted"
            assert answer.json()["reason"] != "no_delegation" or header == f"Basic {pair}"
        right = door.get(ENDPOINT, params=asked, headers={"Authorization": f"Basic {pair}"})
        assert right.json()["reason"] == "no_delegation"
        door.get("/console/search", params={"q": secret})

    logged = "".join(capfd.readouterr())
    audit_log = json.dumps([asdict(recorded) for recorded in its.events()], default=str)
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert "request" in logged, "nothing was logged"
    for secret in (first, second, third):
        canaries = secret[11:], b64encode(f"{client_id}:{secret}".encode()).decode()[60:]
        for canary in canaries:
            assert canary not in logged
            assert canary not in audit_log
            assert canary.encode() not in kept
