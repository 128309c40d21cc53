"""The owner of PostgreSQL's tables drops the unique key of seals, and gives very many events and seals one number.

For each of the events, `verify` sorts all of the seals: with 100,000 of both, it takes more than ten minutes.
"""

from __future__ import annotations

from typing import Final

from authsec_server.audit.sealing.scratch import Scratch

FEW, MANY = 400, 800
NUMBER: Final = 5


def _steps(number: int) -> int:
    counted: list[int] = []
    with Scratch.opened() as scratch:
        scratch.keep_leaves((each, NUMBER, bytes(32)) for each in range(number))
        scratch._database.set_progress_handler(lambda: counted.append(100), 100)
        for _ in range(number):
            assert scratch.is_sealed(NUMBER)
    return sum(counted)


def test_twice_the_rows_take_twice_the_steps() -> None:
    assert _steps(MANY) < 3 * _steps(FEW)
