"""Parameters of a test that every run has, and those that only long runs have (`-m soak`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest


def some_of(cases: Iterable[Any], *, each: int = 3) -> list[Any]:
    """Return the parameters: the first case and each third one are in every run, the others in long runs."""
    return some_rows_of(((case,) for case in cases), each=each)


def some_rows_of(rows: Iterable[Sequence[Any]], *, each: int = 3) -> list[Any]:
    """The same of a test with several parameters: each row has a value of each."""
    return [pytest.param(*row, marks=() if number % each == 0 else pytest.mark.soak) for number, row in enumerate(rows)]


def mostly_on_sqlite(cases: Mapping[str, Any], *both: str) -> list[Any]:
    """Return the parameters of a test that runs on each database. PostgreSQL has the cases `both`, or all in long runs.

    A case that is a tuple has a value of each parameter.
    """
    assert {*both} <= {*cases}
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)), marks=() if name in both else pytest.mark.sqlite_suffices
        )
        for name, case in cases.items()
    ]
