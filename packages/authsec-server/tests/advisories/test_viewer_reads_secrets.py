"""A viewer's key, which dashboards have, reads secrets: in a list, in an event, in the export of everything.

Everything that was shown once is looked for in all that a viewer may read, and so is what it is looked up by: its hash.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from admin_api import API, Estate, estate_of

pytestmark = pytest.mark.sqlite_suffices

NEVER = ("$argon2", "PRIVATE KEY", '"d":', "client_secret", "set-up?code=")


@pytest.fixture
def estate(house: Callable[..., Any], database_url: str, tmp_path: Path) -> Estate:
    return estate_of(house, database_url, tmp_path)


def test_what_a_viewer_reads_holds_no_secret(estate: Estate) -> None:
    assert len(estate.secrets) >= 9, "keys, credential, client secret, code, links, token"
    hidden = {form for secret in estate.secrets for form in (secret, sha256(secret.encode()).hexdigest())}
    key = {"Authorization": f"Bearer {estate.keys['viewer']}"}
    read = {}
    for operation in estate.operations():
        if operation.method == "get":
            read[operation.id] = estate.call(operation, estate.keys["viewer"]).text
    read["all events"] = estate.door.get(f"{API}/events", params={"limit": 200}, headers=key).text
    found = [(where, form[:12]) for where, text in read.items() for form in (*hidden, *NEVER) if form in text]
    assert found == []
    assert "keeper" in read["listClients"]
    assert "admin_key.created" in read["all events"]
