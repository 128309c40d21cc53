"""Many values, some at a time: databases take some tens of thousands in one statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

T = TypeVar("T")
SIZE: Final = 500


def in_batches(values: Iterable[T], size: int = SIZE) -> Iterator[list[T]]:
    """The values in their order, so many at a time."""
    rest = iter(values)
    while some := list(islice(rest, size)):
        yield some
