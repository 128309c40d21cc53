"""Who may do what at the admin API: every operation with every credential; in long runs on both databases.

Each is called with what it would take to succeed, and rehearsed where it changes something: what refuses it is the
role. An operation whose body is missing in doors/one_of_everything.py fails.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from admin_api import AT_THE_MACHINE, NOT_YET, ROLES, Estate, estate_of

pytestmark = pytest.mark.sqlite_suffices


@pytest.fixture
def estate(house: Callable[..., Any], database_url: str, tmp_path: Path) -> Estate:
    return estate_of(house, database_url, tmp_path)


@pytest.mark.parametrize("share", [5, pytest.param(1, marks=pytest.mark.soak)])
def test_every_operation_with_every_credential(estate: Estate, share: int) -> None:
    """In short runs, a fifth of the operations."""
    wrong = []
    before = len(estate.its.events())
    for operation in [*estate.operations()][::share]:
        if operation.least != operation.policy:
            wrong.append((operation.id, "declares", operation.least, "by the rule it is", operation.policy))
        for role in ROLES:
            answer = estate.call(operation, estate.keys[role])
            reaches = ROLES.index(role) >= ROLES.index(operation.least) and operation.id not in AT_THE_MACHINE
            if answer.status_code != (NOT_YET.get(operation.id, 200) if reaches else 403):
                wrong.append((operation.id, role, answer.status_code, answer.text[:200]))
        for who, credential in estate.strangers.items():
            estate.its.clock.at += timedelta(seconds=3)  # or the limit would answer
            answer = estate.call(operation, credential)
            if (answer.status_code, answer.json()["reason"]) != (401, "not_authenticated"):
                wrong.append((operation.id, who, answer.status_code, answer.text[:200]))
    assert not wrong, "\n".join(map(str, wrong))
    kinds = {str(each.event.kind) for each in estate.its.events()[before:]}
    assert kinds <= {"admin.sign_in", "admin.sign_in_refused", "admin.refused", "issuer.tried"}, (
        "and nothing was changed"
    )
