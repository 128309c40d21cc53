"""Check that each change had a higher authority version than the tokens and the changes before the change.

The attack: raw SQL sets the authority version back just before a revocation. The change raises the version to the old
value, and a revocation ends only tokens of lower versions. So the tokens stay live, and no row is wrong afterwards.

A server takes the number of an event while its transaction has the authority lock: shared for a token, exclusive for a
change. In such a transaction, the version of the event is the version that the transaction reads under the lock. So
numbers and versions have one order, for any number of servers:

- If the change came first, it was committed before the token's transaction read the version and took a number. The
  token then has a higher number, and at least the version of the change.
- If the token came first, its transaction ended before the change took a number. The change then has a higher number,
  and a higher version.

PostgreSQL's sequence only ascends. A server takes no number in advance (`audit.event_numbers`), and a transaction that
is rolled back leaves a gap. A restored database continues after its own numbers, at a higher version. The order of
commits, the order of seals and the clocks can differ, so they are not compared.

For each version, only the lowest and the highest number of its events are stored.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

MOST: Final = 5  # findings that are listed; further ones are only counted
_HELD: Final = 10_000  # versions in memory
SCRATCH: Final = (
    "CREATE TABLE numbers (version INTEGER, is_token INTEGER, lowest INTEGER, highest INTEGER,"
    " PRIMARY KEY (version, is_token)) WITHOUT ROWID"
)
_KEEP: Final = (
    "INSERT INTO numbers VALUES (?, ?, ?, ?) ON CONFLICT (version, is_token) DO UPDATE"
    " SET lowest = min(lowest, excluded.lowest), highest = max(highest, excluded.highest)"
)


class VersionOrder:
    """The numbers of the events of tokens and changes, by authority version. `SCRATCH` makes the table."""

    def __init__(self, scratch: sqlite3.Connection) -> None:
        self._scratch = scratch
        self._held: dict[tuple[int, bool], tuple[int, int]] = {}

    def add(self, number: int, version: int, *, is_token: bool) -> None:
        """Add an event of an issued token, or of a change."""
        key = version, is_token
        held = self._held.get(key)
        if held is None:
            if len(self._held) >= _HELD:
                self._keep()
            self._held[key] = number, number
        elif not held[0] <= number <= held[1]:
            self._held[key] = min(number, held[0]), max(number, held[1])

    def _keep(self) -> None:
        self._scratch.executemany(_KEEP, ((*key, *both) for key, both in self._held.items()))
        self._held.clear()

    def findings(self) -> Iterator[str]:
        """Report changes and tokens whose version contradicts the order of the numbers, in a sentence each."""
        self._keep()
        more = 0
        for at, finding in enumerate(self._all()):
            if at < MOST:
                yield finding
            else:
                more += 1
        if more:
            yield f"The authority version was set back {more:,} more times."

    def _all(self) -> Iterator[str]:
        """Yield the findings, from the highest version to the lowest."""
        token: tuple[int, int] | None = None  # of these versions, the lowest number and its version
        change: tuple[int, int] | None = None
        for version, is_token, lowest, highest in self._scratch.execute(
            "SELECT version, is_token, lowest, highest FROM numbers ORDER BY version DESC, is_token DESC"
        ):
            if is_token:
                if change is not None and change[0] < highest:
                    yield (
                        f"Event {highest} issued a token at the authority version {version}, although event "
                        f"{change[0]} had raised the version to {change[1]}: somebody set the version back."
                    )
                token = min(token or (lowest, version), (lowest, version))
            else:
                if change is not None and change[0] < highest:
                    yield (
                        f"Event {highest} changed the authority at version {version}, although event {change[0]} had "
                        f"raised the version to {change[1]}: somebody set the version back."
                    )
                if token is not None and token[0] < highest:
                    yield (
                        f"Event {highest} changed the authority at version {version}, although event {token[0]} had "
                        f"issued a token at version {token[1]}: somebody set the version back, so the change revoked "
                        "no token of that version."
                    )
                change = min(change or (lowest, version), (lowest, version))
