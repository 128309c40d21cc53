"""How long a set of keys that was fetched is used, and what pages say of it. Pure.

A set is *fresh* until its publisher wants to be asked again. Then it is *stale*: used while a new one cannot be had. It
is *dead* 24 hours after it was fetched, whatever happened since. Losing an issuer does not lose its keys at once, and
does not keep them for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from authsec.jose import PublicKey

FRESH_SECONDS = 3600  # where the publisher says nothing
SHORTEST, LONGEST = 30, 24 * 3600  # what it may say (spiffe_refresh_hint)
USABLE_SECONDS = 24 * 3600
UNKNOWN_KEY_PAUSE = 60.0  # a new key is looked for at most so often: whoever invents names must not make us hammer
RETRY_PAUSE = 5.0


class Condition(StrEnum):
    """How a source stands for keys."""

    GIVEN = "given"  # by an administrator; never fetched
    FRESH = "fresh"
    STALE = "stale"
    DEAD = "dead"
    NONE = "none"  # none was ever fetched


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSet:
    """A set as this process holds it. `age` was its age when it was got hold of, at `since` on the monotonic clock."""

    keys: Mapping[str, PublicKey] = field(hash=False)
    fetched_at: datetime
    refresh_seconds: int
    age: float
    since: float

    def age_at(self, now: datetime, monotonic: float) -> float:
        """Its age in seconds. Wall time can be set back, monotonic time stands while a machine sleeps: the longer."""
        return max((now - self.fetched_at).total_seconds(), self.age + monotonic - self.since)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysState:
    """What there is to know of a source's keys. The instants are None where nothing was fetched.

    `failure` is why the last try failed, in a clause; empty if it did not.
    """

    condition: Condition
    keys: Mapping[str, PublicKey] = field(hash=False)
    fetched_at: datetime | None = None
    fresh_until: datetime | None = None
    usable_until: datetime | None = None
    failed_at: datetime | None = None
    failure: str = ""


def refresh_seconds(hint: int | None) -> int:
    """After how many seconds a set that says so is to be fetched again."""
    return FRESH_SECONDS if hint is None else min(max(hint, SHORTEST), LONGEST)


def state_of(held: HeldSet | None, age: float, *, failed_at: datetime | None, failure: str) -> KeysState:
    """The state of a source that is asked for its keys, whose set is `age` seconds old."""
    if held is None:
        return KeysState(condition=Condition.NONE, keys={}, failed_at=failed_at, failure=failure)
    return KeysState(
        condition=_condition(held, age),
        keys=held.keys,
        fetched_at=held.fetched_at,
        fresh_until=held.fetched_at + timedelta(seconds=held.refresh_seconds),
        usable_until=held.fetched_at + timedelta(seconds=USABLE_SECONDS),
        failed_at=failed_at,
        failure=failure,
    )


def _condition(held: HeldSet, age: float) -> Condition:
    if age >= USABLE_SECONDS:
        return Condition.DEAD
    return Condition.STALE if age >= held.refresh_seconds else Condition.FRESH
