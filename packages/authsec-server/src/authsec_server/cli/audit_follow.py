"""`authsec audit follow`: print each event once, in the order of sealing, for a collector such as a SIEM.

The numbers of events are not safe to follow. An event gets its number before the commit, so an event with a
lower number can appear later. The position in the sealed log (`place`) is safe to follow. An event gets its
position after the commit, and no other event gets the same position. A follower that continues after a
position therefore misses no event.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
from authsec.exit_status import Exit

from authsec_server.cli.caller import Caller, admin_command
from authsec_server.cli.files import read_named
from authsec_server.cli.output import Output, when
from authsec_server.cli.transport import CallFailed

_POLL: Final = 0.5  # seconds; the sealer itself waits for up to one second
_RETRY: Final = 5.0
_PAGE: Final = 200
_LOOKS: Final = 20  # polls, ten seconds together; a page is one snapshot, so an unchanged log never has a gap
_SILENT: Final = timedelta(minutes=3)  # a checkpoint is signed each minute
_MAX_STATE: Final = 4096
_ANEW: Final = "To check the log against its seals: authsec audit verify. To copy the log again, name another file."


@dataclass(slots=True, kw_only=True)
class Follower:
    """A follower of the sealed log of one authority.

    `place` is the position in the sealed log of the last event that was read; -1 before the first event. `leaf`
    is the hash of that event, or empty if the hash is unknown. The log must still have this hash at this
    position.
    """

    caller: Caller
    output: Output
    place: int
    leaf: str = ""
    _lacking: int = 0  # consecutive polls that found a gap
    _gone: int = 0  # dropped events that the follower has skipped
    _seen: bool = False  # whether the log is known to be the same log
    _told: str = ""  # the last note

    def next(self) -> Sequence[Mapping[str, Any]]:
        """Return the next events, or none if there are no new events. Raises `CallFailed`."""
        if not self._seen:
            self._recognise()
        page = self._page(self.place, _PAGE)
        leaves = sorted([*page["items"], *page["dropped"]], key=lambda each: each["place"])
        if leaves and self._lacks(leaves, page["sealed"]):
            return ()
        self._gone += len(page["dropped"])
        if self._gone and len(page["dropped"]) < _PAGE:
            self._tell(f"{self._gone:,} events were dropped from the audit log: only their seals are left.")
            self._gone = 0
        if leaves:
            self.place, self.leaf = leaves[-1]["place"], leaves[-1]["leaf"]
        else:
            self._mind(page["checkpoint_at"])
        items: Sequence[Mapping[str, Any]] = page["items"]
        return items

    def _lacks(self, leaves: Sequence[Mapping[str, Any]], sealed: int) -> bool:
        """Whether the positions of `leaves` have a gap, occur twice, or exceed the newest checkpoint.

        `sealed` is the number of sealed events. Raises `CallFailed` if the positions stay wrong for ten seconds.

        The attack: somebody moves a seal to another position for a moment. Without this check, the follower would
        skip the event of that seal, or all later events.
        """
        expected = range(self.place + 1, min(self.place + 1 + len(leaves), sealed))
        if [each["place"] for each in leaves] == list(expected):
            self._lacking = 0
            return False
        self._lacking += 1
        if self._lacking > _LOOKS:
            raise CallFailed(
                f"The event at place {self.place + 1} is missing in the audit log, or occurs twice.", _ANEW
            )
        return True

    def lost(self, failure: CallFailed) -> None:
        """Note that the authority is unreachable. The next poll first checks that the log is the same.

        Another authority with another log could answer at the same address.
        """
        self._seen = False
        self._tell(f"{failure.message} Retrying every {_RETRY:g} seconds.")

    def _recognise(self) -> None:
        if self.leaf:
            page = self._page(self.place - 1, 1)
            there = [each["leaf"] for each in [*page["items"], *page["dropped"]] if each["place"] == self.place]
            if there != [self.leaf]:
                raise CallFailed(
                    f"The event at place {self.place} is not the same as before, so this is another audit log.", _ANEW
                )
        self._seen = True

    def _page(self, after: int, limit: int) -> Any:
        return self.caller.get("events/sealed", limit=limit, cursor=None if after < 0 else str(after))

    def _mind(self, checkpoint_at: str | None) -> None:
        """Warn if no server seals events: the newest checkpoint is too old, or there is no checkpoint.

        Without this check, a log without new events and a server that does not seal look the same.
        """
        if checkpoint_at is None or datetime.now(UTC) - datetime.fromisoformat(checkpoint_at) > _SILENT:
            since = f"since {when(checkpoint_at)} UTC" if checkpoint_at else "so far"
            self._tell(
                f"No event was sealed {since}. Events are printed after they are sealed: check that a server "
                "is running."
            )
        else:
            self._told = ""

    def _tell(self, text: str) -> None:
        if text != self._told:
            self.output.note(text)
        self._told = text


class FollowPlace(click.ParamType[int]):
    """A position in the sealed log, the `place` of an event. -1 means before the first event."""

    name = "place"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if not re.fullmatch(r"-1|[0-9]{1,18}", str(value)):
            self.fail(
                f"{value!r} is not a position in the audit log: give a number, the `place` of an event.", param, ctx
            )
        return int(str(value))


@click.command()
@click.option(
    "--state", type=click.Path(path_type=Path, dir_okay=False), help="File where the command saves its position."
)
@click.option(
    "--after",
    type=FollowPlace(),
    help="Start after the event with this position. Give the `place` of the last event that you have.",
)
@click.option("--from-start", is_flag=True, help="Start with the first sealed event.")
@admin_command
def follow(caller: Caller, output: Output, state: Path | None, after: int | None, from_start: bool) -> None:
    """Print each event as JSON Lines when it is sealed, once and in order, about a second after the event.

    With --state, the command continues after the last printed event. The first run starts with the first event.
    Without --state, the command starts with new events. An event that combines the refusals of a minute arrives five
    minutes later, when the count is final. The command ends on SIGTERM or when the reader of stdout closes the
    pipe.
    """
    if from_start and after is not None:
        raise click.UsageError("Give --from-start or --after, not both.")
    with caller.session() as its, until_ended() as ending:
        follower = _begin(its, output, state, -1 if from_start else after)
        while not ending.ended:
            wait = _step(follower, state, ending)
            ending.wait(wait)


def _step(follower: Follower, state: Path | None, ending: UntilEnded) -> float:
    """Print and save the next page of events. Return the seconds to wait before the next page."""
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
    """Create a follower that starts after the position in the state file.

    If there is no state file yet, the follower starts after the position `after`. Without `after`, it starts with
    the first event if `state` is named, and otherwise with new events. Raises `CallFailed`, also if the state file
    is not writable. Otherwise the command would print the same events again after each restart.
    """
    if state is not None:
        _require_writable(state)
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
                f"There is no event at place {after:,} yet: the audit log has only {last + 1:,} sealed events.",
                f"To start with new events, leave out --after. To start after the last event: --after {last}",
            )
    return Follower(caller=caller, output=output, place=after)


def _printed(events: Sequence[Mapping[str, Any]]) -> bool:
    """Print the events. Return whether the reader of stdout still reads."""
    try:
        sys.stdout.write("".join(f"{json.dumps(each)}\n" for each in events))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python's last flush must not fail
        return False
    return True


def _kept(state: Path) -> tuple[int, str]:
    try:
        read = json.loads(read_named(state, at_most=_MAX_STATE))
        place, leaf = read["place"], read["leaf"]
        if not (type(place) is int and place >= 0 and isinstance(leaf, str) and leaf):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise CallFailed(f"{state} is not a position file of `authsec audit follow`.", "Name another file.") from None
    return place, leaf


def _keep(state: Path, follower: Follower) -> None:
    """Save the follower's position in the state file, after the events up to that position were printed.

    If the process is killed between printing and saving, the next run prints the last page again. No event is
    lost. Raises `CallFailed`.
    """
    beside = _beside(state)
    try:
        with beside.open("w") as file:
            json.dump({"place": follower.place, "leaf": follower.leaf}, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(state)
    except OSError as error:
        raise _unwritable(state, error) from None


def _require_writable(state: Path) -> None:
    """Check that the state file can be replaced. Raises `CallFailed`."""
    beside = _beside(state)
    try:
        beside.open("w").close()
        beside.unlink()
    except OSError as error:
        raise _unwritable(state, error) from None


def _beside(state: Path) -> Path:
    return state.with_name(f"{state.name}.new")


def _unwritable(state: Path, error: OSError) -> CallFailed:
    if not state.parent.exists():
        return CallFailed(f"There is no folder {state.parent}.", "Create the folder, or name a file in another folder.")
    return CallFailed(
        f"{state} cannot be written: {error.strerror}.", "Name a file that you can write to: --state FILE"
    )


class UntilEnded:
    """A request to end a long-running command, by a signal or by a closed stdout.

    A request to end interrupts `wait`. A signal does not interrupt work that has started.
    """

    def __init__(self, wake: int | None = None, reader: int | None = None) -> None:
        self.ended = False
        self._wake = wake
        self._reader = reader

    def wait(self, seconds: float) -> None:
        """Wait for this time, or until the end is requested."""
        if self.ended:
            return
        if self._wake is None:  # Windows cannot wait for a pipe
            time.sleep(seconds)
            return
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if self._reader is not None:
            poll.register(self._reader, 0)  # reports only that the reader closed the pipe
        if poll.poll(seconds * 1000):
            self.ended = True

    def end(self) -> None:
        """Request the end of the command."""
        self.ended = True


@contextmanager
def until_ended() -> Iterator[UntilEnded]:
    """Yield an `UntilEnded`. SIGTERM, Ctrl-C and a closed stdout request the end.

    Call this function only in the main thread.
    """
    if sys.platform == "win32":
        yield UntilEnded()
        return
    wake, ring = os.pipe()
    # In a test, stdout has no file descriptor.
    ending = UntilEnded(wake, sys.__stdout__.fileno() if sys.__stdout__ and sys.stdout is sys.__stdout__ else None)

    def end(*_: object) -> None:
        ending.end()
        os.write(ring, b".")

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(wake)
        os.close(ring)
