"""The holder of the sealing key signs thousands of records of drops: `verify` looked at each of them at each event."""

from __future__ import annotations

from authsec_server.audit.sealing.covering import Covering, gaps
from hypothesis import given
from hypothesis import strategies as st

RUNS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)).map(lambda run: (run[0], sum(run))), max_size=8)


class Watched(list[tuple[tuple[int, int], int]]):
    """Runs that are read from end to end once only."""

    reads = 0

    def __iter__(self):  # type: ignore[no-untyped-def] # of any mapping
        self.reads += 1
        return super().__iter__()


@given(RUNS, st.lists(st.integers(0, 30)))
def test_the_first_record_of_a_place_is_found(runs: list[tuple[int, int]], places: list[int]) -> None:
    covering = Covering([(run, at) for at, run in enumerate(runs)])
    for place in places:
        expected = next((at for at, (first, last) in enumerate(runs) if first <= place <= last), None)
        assert covering.first_at(place) == expected


def test_a_walk_reads_each_record_once() -> None:
    runs = Watched([((0, 0), at) for at in range(1000)])
    covering = Covering(runs)
    assert [covering.first_at(place) for place in range(3)] == [0, None, None]
    assert runs.reads <= 1


def test_gaps_are_the_places_that_a_record_leaves_out() -> None:
    assert gaps([(2, 3), (4, 5), (9, 9)]) == [(0, 1), (6, 8)]
    assert gaps([(0, 9)]) == []
