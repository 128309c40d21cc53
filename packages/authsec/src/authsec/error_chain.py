"""The errors that stand behind an error: its causes, contexts, and the members of groups."""

from __future__ import annotations

from collections.abc import Iterator


def behind(error: BaseException) -> Iterator[BaseException]:
    """The error, and all that a traceback prints with it. Each once."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__]
        waiting += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
