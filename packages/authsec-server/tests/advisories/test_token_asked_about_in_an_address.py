"""A token or a credential is put where it is logged: into the address, or into a body that is kept.

Programmers try. None of these ways works, none leaves anything behind, and a body without end is not read to its end.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from introspecting import CRM, INTROSPECT, ask, register, token_for


def test_only_a_form_is_read(house: Callable[..., Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    its = house()
    credential, token = register(its), token_for(its, CRM)
    door, bearer = its.door(), {"Authorization": f"Bearer {credential}"}
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        answer = door.request(method, INTROSPECT, params={"token": token}, headers=bearer)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    answer = door.post(INTROSPECT, params={"token": token}, data={"token": token}, headers=bearer)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    in_body = {"token": token, "client_id": "crm", "client_secret": credential}
    assert door.post(INTROSPECT, data=in_body).status_code == 401
    assert ask(door, token, credential).json()["active"] is True
    logged = "".join(capfd.readouterr())
    audit_log = json.dumps([asdict(recorded) for recorded in its.events()], default=str)
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert "request" in logged
    for canary in (credential[12:], token.split(".")[1][40:], token.split(".")[2][40:]):
        assert canary not in logged + audit_log
        assert canary.encode() not in kept


def test_a_huge_body_is_refused(house: Callable[..., Any]) -> None:
    its = house()
    credential = register(its)
    answer = ask(its.door(), "x" * 70_000, credential)
    assert (answer.status_code, answer.json()["error"], answer.json()["reason"]) == (
        413,
        "invalid_request",
        "body_too_large",
    )
    assert ask(its.door(), "x" * 60_000, credential).json() == {"active": False}
