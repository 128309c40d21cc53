"""An administrator of the database renames an agent and inserts an event that says so, dated in the year 2999.

The server never seals an event whose time has not come. So no checkpoint covers the rename, and it can be taken back
unseen.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.audit.store import events
from sealed_estate import Sealed, sealed_estate

PLANTED = {"at": "'2999-01-01 00:00:00.000000'", "detail": "replace(detail, '\"payments\"', '\"mine\"')"}


@pytest.fixture
def sealed(estate: Any) -> Sealed:
    return sealed_estate(estate)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_event_of_the_future_without_a_seal_gives_no_name(sealed: Sealed) -> None:
    columns = [each.name for each in events.columns if each.name != "id"]
    copied = ", ".join(PLANTED.get(each, each) for each in columns)
    _, found = sealed.after(
        f"INSERT INTO events ({', '.join(columns)}) SELECT {copied} FROM events"
        " WHERE kind = 'client.edited' AND detail LIKE '%\"payments\"%'",
        "UPDATE clients SET slug = 'mine' WHERE slug = 'payments'",
    )
    assert 'has the slug "mine", but the events say "payments".' in found
