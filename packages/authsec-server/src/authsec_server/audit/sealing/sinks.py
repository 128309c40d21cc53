"""Send checkpoints to a sink where the database's administrators cannot write.

A sink is either a file, to which lines are appended, or an address, to which checkpoints are posted.
"""

from __future__ import annotations

import os
import re
import stat
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Final, Protocol

import anyio
import structlog

from authsec_server.audit.sealing.checkpoints import Checkpoint
from authsec_server.failures import StartupRefused
from authsec_server.metrics.catalogue import CHECKPOINTS_DELIVERED, CHECKPOINTS_WAITING
from authsec_server.outbound import Outbound, OutboundFailed, OutboundLimits
from authsec_server.settings import ENV_PREFIX

_LIMITS: Final = OutboundLimits(seconds=10.0, max_bytes=64 * 1024)
_MAX_TOKEN: Final = 16_384


class NotAccepted(Exception):
    """The sink did not accept a checkpoint.

    The text says why. It contains neither credentials nor the query of a URL.
    """


class Sink(Protocol):
    """A destination for checkpoints."""

    def take(self, checkpoint: Checkpoint) -> None:
        """Store the checkpoint durably. Blocks its thread. Raises `NotAccepted`."""

    def check(self) -> None:
        """Raise `StartupRefused` if the sink can never accept a checkpoint."""


_BEGINNING = 65_536  # octets
_LIKE_A_CHECKPOINT = re.compile(
    rb"^eyJ[\w.-]*$", re.MULTILINE
)  # a JWS begins like this (RFC 7515 section 7.1), also an incomplete one


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSink:
    """Appends one line for each checkpoint to a regular file.

    A pipe or a device is refused, because it stores nothing and may block forever.
    """

    path: Path

    def take(self, checkpoint: Checkpoint) -> None:
        how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            descriptor = os.open(self.path, how | os.O_NONBLOCK, 0o600)  # else a pipe that nobody reads blocks here
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise NotAccepted(f"{self.path} is not a regular file")
                line = (b"\n" if self._torn() else b"") + f"{checkpoint.signed}\n".encode("ascii")
                if os.write(descriptor, line) != len(line):
                    raise NotAccepted(f"only a part was written to {self.path}")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise NotAccepted(f"{self.path} cannot be written: {error.strerror}") from None

    def _torn(self) -> bool:
        """Whether the last line of the file is incomplete, because the disk was full or a process was killed."""
        try:
            with self.path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                return file.read(1) != b"\n"
        except OSError:
            return False  # the file is empty, or this process may not read it

    def check(self) -> None:
        try:
            never = (self.path.exists() and not self.path.is_file()) or not self.path.parent.is_dir()
        except OSError:  # for example, the name is too long or the folder is not readable
            never = True
        if never:
            raise StartupRefused(
                f"{ENV_PREFIX}AUDIT_CHECKPOINTS names {self.path}, which is not a regular file.",
                "Name a file in an existing folder, or an address: https://…",
            )
        if self._has_something_else():
            raise StartupRefused(
                f"{ENV_PREFIX}AUDIT_CHECKPOINTS names {self.path}, which contains something other than checkpoints.",
                "Name a new file, or one to which a server has written checkpoints.",
            )

    def _has_something_else(self) -> bool:
        """Whether no line at the beginning of the file looks like a checkpoint. The setting then names a wrong file."""
        try:
            with self.path.open("rb") as file:
                beginning = file.read(_BEGINNING)
        except OSError:
            return False  # the file does not exist yet, or this process may not read it
        return bool(beginning.strip()) and not _LIKE_A_CHECKPOINT.search(beginning)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressSink:
    """Posts each checkpoint to a URL as `{"checkpoint": …}`.

    `token_file` contains the bearer token. The file is read again for each checkpoint.
    """

    outbound: Outbound
    url: str
    token_file: Path | None = None

    def take(self, checkpoint: Checkpoint) -> None:
        try:
            answer = self.outbound.post_json(
                self.url, {"checkpoint": checkpoint.signed}, headers=self._headers(), limits=_LIMITS
            )
        except OutboundFailed as failed:
            raise NotAccepted(str(failed)) from None
        if not 200 <= answer.status < 300:
            raise NotAccepted(f"{answer.source} answered with the status {answer.status}")

    def check(self) -> None:
        try:
            self.outbound.check_url(self.url)
        except OutboundFailed as failed:
            raise StartupRefused(f"{ENV_PREFIX}AUDIT_CHECKPOINTS cannot be used: {failed}.") from None

    def _headers(self) -> dict[str, str]:
        if self.token_file is None:
            return {}
        try:
            with self.token_file.open("rb") as file:
                token = file.read(_MAX_TOKEN).strip()
        except OSError as error:
            raise NotAccepted(f"the token file {self.token_file} cannot be read: {error.strerror}") from None
        if not token or b"\n" in token or not token.isascii():  # perhaps a private key, which must not be sent
            raise NotAccepted(f"the token file {self.token_file} must contain one token on one line")
        return {"Authorization": f"Bearer {token.decode('ascii')}"}


log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 0.5
RETRY_SECONDS: Final = (1.0, 2.0, 5.0, 15.0, 30.0)  # the last value is repeated
STUCK: Final = timedelta(seconds=30)  # after this time without an answer, the sink hangs
MOST: Final = 1000  # queued checkpoints; the oldest of more are deleted: a later one covers their events
CHECK_SECONDS: Final = 5.0  # for the check of the sink when a server starts
LAST_SECONDS: Final = 2.0  # for the last delivery when a server ends


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkState:
    """The state of checkpoint delivery. `sent` is true if there is a sink.

    The sink has accepted no checkpoint since `undelivered_since`, and `problem` says why.
    """

    sent: bool = False
    undelivered_since: datetime | None = None
    problem: str = ""


class CheckpointDelivery:
    """Sends checkpoints to the sink, one after the other. Any thread may call `give`, which never blocks.

    Without a sink, no checkpoint is sent.
    """

    def __init__(self, sink: Sink | None, *, now: Callable[[], datetime]) -> None:
        self._sink = sink
        self._now = now
        self._waiting: deque[Checkpoint] = deque(maxlen=MOST)
        self._last = ""
        self._state = SinkState(sent=sink is not None)
        self._handed_at: datetime | None = None  # since when the sink has had a checkpoint without an answer
        self._ending = Event()

    def check(self) -> None:
        """Raise `StartupRefused` if the settings name a destination that can never accept a checkpoint.

        A mount that hangs is not refused, and the check waits for it only a few seconds.
        The mount may recover, and the server must issue tokens in the meantime.
        """
        if self._sink is None:
            return
        refusals: list[StartupRefused] = []
        asking = Thread(target=_ask, args=(self._sink, refusals), name="authsec-checkpoints-check", daemon=True)
        asking.start()
        asking.join(CHECK_SECONDS)
        if refusals:
            raise refusals[0]

    def give(self, checkpoint: Checkpoint) -> None:
        """Queue a checkpoint for the sink. This server signed the checkpoint, or verified one from another server."""
        if self._sink is not None and checkpoint.signed != self._last:
            self._last = checkpoint.signed
            self._waiting.append(checkpoint)
            CHECKPOINTS_WAITING.of().set(len(self._waiting))

    def state(self) -> SinkState:
        """Return the state of delivery. This method does not block, even if the sink hangs."""
        since, its = self._handed_at, self._state
        if since is None or self._now() - since < STUCK:
            return its
        problem = f"a checkpoint was sent more than {STUCK.seconds} s ago, without an answer"
        return SinkState(sent=True, undelivered_since=its.undelivered_since or since, problem=problem)

    def deliver(self) -> bool:
        """Send the queued checkpoints until none is left or one is refused. Return whether all were accepted.

        Blocks its thread.
        """
        while self._sink is not None and self._waiting and not self._ending.is_set():
            checkpoint = self._waiting[0]
            self._handed_at = self._now()
            try:
                self._sink.take(checkpoint)
            except NotAccepted as failure:
                self._failed(str(failure))
                return False
            finally:
                self._handed_at = None
            if self._waiting and self._waiting[0] is checkpoint:  # else too many were queued, and it was deleted
                self._waiting.popleft()
            CHECKPOINTS_DELIVERED.of().add()
            CHECKPOINTS_WAITING.of().set(len(self._waiting))
            self._worked()
        return True

    async def run(self) -> None:
        """Deliver checkpoints until cancelled."""
        if self._sink is None:
            return
        # A daemon thread: a mount that hangs delays neither the end of the server nor the end of its process.
        thread = Thread(target=self._keep_delivering, name="authsec-checkpoints-elsewhere", daemon=True)
        thread.start()
        try:
            await anyio.sleep_forever()
        finally:
            self._ending.set()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(thread.join, LAST_SECONDS)

    def _keep_delivering(self) -> None:
        failures = 0
        while not self._ending.is_set():
            try:
                failures = 0 if self.deliver() else failures + 1
            except Exception as error:  # noqa: BLE001 - whatever it was, later checkpoints must go out
                self._failed(type(error).__name__)
                failures += 1
            self._ending.wait(RETRY_SECONDS[min(failures, len(RETRY_SECONDS)) - 1] if failures else POLL_SECONDS)

    def _failed(self, problem: str) -> None:
        before = self._state
        since = before.undelivered_since or self._now()
        self._state = SinkState(sent=True, undelivered_since=since, problem=problem)
        if before.problem != problem:
            log.error(
                "checkpoints of the audit log cannot be sent to the outside destination",
                why=problem,
                since=since.isoformat(),
            )

    def _worked(self) -> None:
        if self._state.undelivered_since is not None:
            log.info("checkpoints of the audit log are sent to the outside destination again")
        self._state = SinkState(sent=True)


def _ask(sink: Sink, refusals: list[StartupRefused]) -> None:
    try:
        sink.check()
    except StartupRefused as refused:  # raised in the thread that waits for the check
        refusals.append(refused)


def checkpoint_delivery(
    where: str, token_file: Path | None, outbound: Outbound, *, now: Callable[[], datetime]
) -> CheckpointDelivery:
    """Return the delivery for the setting `where`: a path, an address, or empty for no delivery."""
    if not where:
        return CheckpointDelivery(None, now=now)
    if "://" in where:
        return CheckpointDelivery(AddressSink(outbound=outbound, url=where, token_file=token_file), now=now)
    return CheckpointDelivery(FileSink(path=Path(where)), now=now)
