"""`authsec audit follow`: each event once, in the order of sealing, for whatever collects them elsewhere.

Numbers are given before the commit: behind a number that was seen, a lower one may appear. A place in the sealed log is
given after it, and never to another event. So whoever goes on behind a place misses nothing.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
from authsec.exit_status import Exit

from authsec_server.cli.caller import Caller, admin_command
from authsec_server.cli.files import read_named
from authsec_server.cli.kept_open import kept_open
from authsec_server.cli.output import Output, when
from authsec_server.cli.signals import UntilEnded, until_ended
from authsec_server.cli.transport import CallFailed

_POLL: Final = 0.5  # seconds; sealing itself waits for up to one
_RETRY: Final = 5.0
_PAGE: Final = 200
_SILENT: Final = timedelta(minutes=3)  # a head is signed each minute
_MAX_STATE: Final = 4096
_ANEW: Final = "See whether it is as it was sealed: authsec audit verify. To copy it anew, name another file."


@dataclass(slots=True, kw_only=True)
class Follower:
    """Goes along the log of one authority. `place` is the last one that was had, -1 before the first; `leaf` its hash.

    `leaf` is empty where it is not known. The log that is gone on with must still have it there.
    """

    caller: Caller
    output: Output
    place: int
    leaf: str = ""
    _gone: int = 0  # dropped events that were passed
    _seen: bool = False  # that it is the same log
    _told: str = ""  # what a person was told last

    def next(self) -> Sequence[Mapping[str, Any]]:
        """The next events, none where there are none now. Raises `CallFailed`."""
        if not self._seen:
            self._recognise()
        page = self._page(self.place, _PAGE)
        self._gone += len(page["dropped"])
        if self._gone and len(page["dropped"]) < _PAGE:
            self._tell(f"{self._gone:,} events were dropped from the journal: only their seals are left.")
            self._gone = 0
        leaves = sorted([*page["items"], *page["dropped"]], key=lambda each: each["place"])
        if leaves:
            self.place, self.leaf = leaves[-1]["place"], leaves[-1]["leaf"]
        else:
            self._mind(page["head_at"])
        items: Sequence[Mapping[str, Any]] = page["items"]
        return items

    def lost(self, failure: CallFailed) -> None:
        """The authority was not reached; it is asked again, and by then it may be another."""
        self._seen = False
        self._tell(f"{failure.message} It is asked again every {_RETRY:g} seconds.")

    def _recognise(self) -> None:
        if self.leaf:
            page = self._page(self.place - 1, 1)
            there = [each["leaf"] for each in [*page["items"], *page["dropped"]] if each["place"] == self.place]
            if there != [self.leaf]:
                raise CallFailed(f"The log has not in place {self.place} what was there before: it is another.", _ANEW)
        self._seen = True

    def _page(self, after: int, limit: int) -> Any:
        return self.caller.get("events/sealed", limit=limit, cursor=None if after < 0 else str(after))

    def _mind(self, head_at: str | None) -> None:
        """Nothing new: because nothing is, or because nobody seals?"""
        if head_at is None or datetime.now(UTC) - datetime.fromisoformat(head_at) > _SILENT:
            since = f"since {when(head_at)} UTC" if head_at else "so far"
            self._tell(f"Nothing was sealed {since}, and events come once they are: is a server running?")
        else:
            self._told = ""

    def _tell(self, text: str) -> None:
        if text != self._told:
            self.output.note(text)
        self._told = text


class FollowPlace(click.ParamType[int]):
    """A place in the sealed log; -1 is before the first."""

    name = "place"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if not re.fullmatch(r"-1|[0-9]{1,18}", str(value)):
            self.fail(f"{value!r} is no place in the log: a number, the `place` of an event.", param, ctx)
        return int(str(value))


@click.command()
@click.option("--state", type=click.Path(path_type=Path, dir_okay=False), help="File in which it keeps how far it was.")
@click.option("--after", type=FollowPlace(), help="Begin behind this place, the last `place` that you have.")
@click.option("--from-start", is_flag=True, help="Begin with the first event that was ever sealed.")
@admin_command
def follow(caller: Caller, output: Output, state: Path | None, after: int | None, from_start: bool) -> None:
    """Print each event as it is sealed, as JSON Lines: once, in one order, about a second after it happened.

    With --state it goes on where it was, and begins with the first event; else with what comes from now on. Refusals
    that are counted by the minute come five minutes later, when they grow no more. It ends on SIGTERM, or when nobody
    reads it any more.
    """
    if from_start and after is not None:
        raise click.UsageError("--from-start and --after are two beginnings.")
    with kept_open(caller) as its, until_ended() as ending:
        follower = _begin(its, output, state, -1 if from_start else after)
        while not ending.ended:
            wait = _step(follower, state, ending)
            ending.wait(wait)


def _step(follower: Follower, state: Path | None, ending: UntilEnded) -> float:
    """One look; how long to wait for the next."""
    try:
        events = follower.next()
    except CallFailed as failure:
        if failure.exit_code is not Exit.UNREACHABLE:
            raise
        follower.lost(failure)
        return _RETRY
    if not _printed(events):
        ending.end()
    elif state is not None and follower.place >= 0:
        _keep(state, follower)
    return 0 if events else _POLL


def _begin(caller: Caller, output: Output, state: Path | None, after: int | None) -> Follower:
    """Where the file says, else where the options say. Raises `CallFailed`."""
    if state is not None and state.exists():
        place, leaf = _kept(state)
        return Follower(caller=caller, output=output, place=place, leaf=leaf)
    if after is None and state is not None:
        after = -1
    else:
        last = caller.get("events/sealed", limit=1)["sealed"] - 1
        after = last if after is None else after
        if after > last:
            raise CallFailed(
                f"There is no place {after:,} yet, and the log has only {last + 1:,} places.",
                f"Begin with what comes from now on: leave out --after. Behind the last one: --after {last}",
            )
    return Follower(caller=caller, output=output, place=after)


def _printed(events: Sequence[Mapping[str, Any]]) -> bool:
    """Whether somebody still reads it."""
    try:
        sys.stdout.write("".join(f"{json.dumps(each)}\n" for each in events))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what Python flushes at its end goes nowhere
        return False
    return True


def _kept(state: Path) -> tuple[int, str]:
    try:
        read = json.loads(read_named(state, at_most=_MAX_STATE))
        place, leaf = read["place"], read["leaf"]
        if not (type(place) is int and place >= 0 and isinstance(leaf, str) and leaf):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise CallFailed(f"{state} does not say how far the journal was followed.", "Name another file.") from None
    return place, leaf


def _keep(state: Path, follower: Follower) -> None:
    """After what it stands for was printed: killed in between, the last page comes twice, and none is missing."""
    beside = state.with_name(f"{state.name}.new")
    try:
        with beside.open("w") as file:
            json.dump({"place": follower.place, "leaf": follower.leaf}, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(state)
    except OSError as error:
        raise CallFailed(f"{state} cannot be written: {error.strerror}.") from None
