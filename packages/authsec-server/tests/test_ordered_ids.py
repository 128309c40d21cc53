"""Ids of tokens and requests begin with the time, so that indexes of the audit log grow at their end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from authsec_server.ordered_ids import ordered_octets
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.sqlite_suffices

ENDPOINT = "/authsec/uflow/sdk/delegation-token"
TIMES = st.floats(0, 253402300799).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@given(TIMES, TIMES)
def test_the_octets_of_a_later_time_are_higher(one: datetime, two: datetime) -> None:
    first, second = (ordered_octets(15, at, lambda number: b"\xff" * number) for at in sorted((one, two)))
    assert len(first) == 15
    assert first <= second
    if abs(two - one) >= timedelta(milliseconds=2):
        assert first[:6] < second[:6]


def test_tokens_and_requests_have_ids_in_the_order_of_their_times(house: Any) -> None:
    its = house()
    client_id = its.delegated_name()
    for _ in range(3):
        assert its.door().get(ENDPOINT, params={"client_id": client_id}).status_code == 200
        its.clock.at += timedelta(milliseconds=1)
    issued = [each.event for each in its.events() if each.event.kind == "token.issued"]
    issued.sort(key=lambda event: event.at)
    assert len({event.at for event in issued}) == 3
    for ids in ([event.jti for event in issued], [event.request_id for event in issued]):
        assert len(set(ids)) == 3
        assert ids == sorted(ids)
