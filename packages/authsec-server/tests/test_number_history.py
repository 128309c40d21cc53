"""Which places a seal can have, as the past passes of the sealer show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from authsec_server.audit.sealing.number_history import NumberHistory

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def history(*passes: tuple[int, int, int]) -> NumberHistory:
    found = NumberHistory()
    for seconds, size, top in passes:
        found.add(NOW + timedelta(seconds=seconds), size, top)
    return found


def test_a_seal_of_a_new_event_is_behind_the_leaves_that_were_there_before() -> None:
    places = history((0, 10, 100), (20, 20, 200), (40, 30, 300)).seal_places(200, 35)
    assert (places.first, places.top, places.first_above, places.size) == (20, 300, 30, 35)


def test_any_verified_place_is_possible_before_the_first_pass() -> None:
    places = history().seal_places(200, 35)
    assert (places.first, places.first_above, places.size) == (0, 0, 35)


def test_a_number_is_old_once_it_existed_at_the_time() -> None:
    found = history((0, 10, 100), (20, 20, 200))
    assert [found.top_at(NOW + timedelta(seconds=seconds)) for seconds in (-1, 0, 19, 20)] == [0, 100, 100, 200]


def test_passes_within_ten_seconds_are_remembered_as_one() -> None:
    found = history((0, 10, 100), (1, 11, 101), (2, 12, 102))
    assert [found.top_at(NOW + timedelta(seconds=seconds)) for seconds in (0, 1, 2)] == [100, 100, 102]


def test_a_history_of_hours_stays_small() -> None:
    found = history(*((10 * each, each, each) for each in range(5000)))
    assert found.top_at(NOW + timedelta(seconds=49_990)) == 4999
    assert len(found._marks) <= 1000
