"""The exit statuses for scripts, the same for all commands."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from authsec.errors import AuthSecError, RateLimited, ServerError, TransportError

_PASSING: Final = frozenset({429, 502, 503, 504})  # HTTP statuses of temporary failures
_CONFLICT: Final = frozenset({409, 412})


class Exit(IntEnum):
    """The exit status of a command."""

    DONE = 0
    FAILED = 1
    USAGE = 2  # the status that click uses
    FOUND = 3
    CONFLICT = 4
    UNREACHABLE = 5
    NOT_CHECKED = 6

    @property
    def meaning(self) -> str:
        """Return the meaning of the status, for the help text."""
        return _MEANINGS[self]


_MEANINGS: Final = {
    Exit.DONE: "done",
    Exit.FAILED: "refused, failed, or cancelled",
    Exit.USAGE: "wrong usage: no request was sent to the authority",
    Exit.FOUND: "a check found problems (audit verify), or changes to make (apply --dry-run)",
    Exit.CONFLICT: "conflict with the current state: changed meanwhile, the name is taken, still in use, too early",
    Exit.NOT_CHECKED: "a check found no problem, but could not check a part: dropped events (--with), or a table",
    Exit.UNREACHABLE: "the authority could not be reached, or is too busy: trying again later may help",
}


def exit_of_answer(status: int) -> Exit:
    """Return the exit status for an HTTP status of the admin API."""
    if 200 <= status < 300:
        return Exit.DONE
    if status in _PASSING:
        return Exit.UNREACHABLE
    return Exit.CONFLICT if status in _CONFLICT else Exit.FAILED


def exit_of_error(error: AuthSecError) -> Exit:
    """Return the exit status for an error of a command on an agent's machine."""
    return Exit.UNREACHABLE if isinstance(error, TransportError | RateLimited | ServerError) else Exit.FAILED
