"""Parameters of a test that every run has, and those that only long runs have (`-m soak`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def some_of(cases: Iterable[Any], *, each: int = 3) -> list[Any]:
    """Return the parameters: the first case and each third one are in every run, the others in long runs."""
    return [
        case if number % each == 0 else pytest.param(case, marks=pytest.mark.soak) for number, case in enumerate(cases)
    ]
