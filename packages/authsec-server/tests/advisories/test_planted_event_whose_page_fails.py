"""Somebody inserts an event that has a value before a change, and null after it. The server seals the event.

The console's page of the event compares both values field by field. If the shape of an event allowed such values, the
page would end with an error each time, and `verify` would find nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from audit_answers import ANN, NOW
from authsec_server.audit import service as audit
from authsec_server.audit import store
from authsec_server.audit.event_shape import is_event
from authsec_server.audit.model import Event, EventKind

House = Any
CHANGED: Mapping[str, Mapping[str, Any]] = {
    "an object, and null": {"before": {"name": "x"}, "after": None},
    "a list, and null": {"before": ["x"], "after": None},
    "null, and null": {"before": None, "after": None},
}


@pytest.mark.parametrize("detail", CHANGED.values(), ids=CHANGED)
def test_the_page_of_an_event_with_the_shape_of_one_can_be_shown(
    house: Callable[..., House], detail: Mapping[str, Any]
) -> None:
    its = house(local_operator=True)
    event = Event(
        at=NOW, kind=EventKind.KEY_CREATED, request_id="req_00000000000000000planted", principal=ANN, detail=detail
    )
    number = its.authority.database.append(lambda tx: audit.record(tx, event))
    is_valid = is_event(store.row_of(event) | {"occurrences": 1, "count_key": None})
    assert its.door().get(f"/console/activity/{number}").status_code == 200 or not is_valid
