"""Points in time as JSON carries them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from authsec_server.failures import Invalid
from authsec_server.web.instants import parse_instant, rfc3339
from hypothesis import given
from hypothesis import strategies as st

# Naive, as hypothesis wants its bounds; a day off the edges of what datetime can hold.
FIRST, LAST = datetime(1000, 1, 2), datetime(9999, 12, 30)  # noqa: DTZ001 - hypothesis adds the zone
zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(FIRST, LAST, timezones=zones))
def test_what_is_written_is_read_back_to_the_second(instant: datetime) -> None:
    text = rfc3339(instant)
    assert text.endswith("Z")
    assert len(text) == len("2026-05-21T07:25:36Z")
    assert parse_instant("at", text) == instant.astimezone(UTC).replace(microsecond=0)


@given(st.datetimes(FIRST, LAST, timezones=zones))
def test_any_zone_and_any_fraction_is_read(instant: datetime) -> None:
    parsed = parse_instant("at", instant.isoformat())
    assert parsed == instant.astimezone(UTC).replace(microsecond=0)
    assert parsed.tzinfo is UTC


def test_none_stays_none() -> None:
    assert rfc3339(None) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-05-21",
        "2026-05-21T07:25:36",
        "2026-05-21 07:25:36Z",
        "2026-02-30T00:00:00Z",
        "2026-05-21T25:00:00Z",
        "2026-05-21T07:25:36+25:00",
        "0001-01-01T00:00:00+10:00",
        "9999-12-31T23:59:59-10:00",
        "2026-W21-4T07:25:36Z",
        "2026-05-21T07:25:36Z\n",
        "٢٠٢٦-05-21T07:25:36Z",
        "1" * 10_000,
    ],
)
def test_what_is_no_point_in_time(text: str) -> None:
    with pytest.raises(Invalid, match="RFC 3339") as caught:
        parse_instant("ends_at", text)
    assert caught.value.field == "ends_at"


@given(st.text())
def test_nothing_else_gets_through(text: str) -> None:
    with pytest.raises(Invalid):
        parse_instant("at", text)
