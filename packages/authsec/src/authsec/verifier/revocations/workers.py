"""The feed for the workers of a host: one worker follows the authority and writes a file, which the others read.

The worker that has the lock follows the authority. The operating system releases the lock when this worker
ends, even after a crash.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Final

from authsec.clock import Clock
from authsec.errors import KeysUnavailable
from authsec.verifier.revocations.authority_source import POLL_PAUSE, AuthoritySource
from authsec.verifier.revocations.batch import BatchRefused
from authsec.verifier.revocations.follower import Run
from authsec.verifier.revocations.shared_file import (
    SharedFile,
    SharedFileReader,
    SharedFileReplaced,
    SharedFileUnusable,
    SharedFileWriter,
    open_private,
)

if sys.platform != "win32":
    import fcntl

_log = logging.getLogger("authsec.verifier")

LOOK_PAUSE: Final = 0.1  # seconds between two reads of the file
SHORTEST_PATIENCE: Final = 7.0  # seconds of silence before a request to the authority, which sends a message every five
# The patience of workers differs by up to this many seconds, so not all workers send requests at the same time.
SPREAD: Final = 2.0

# A fork copies descriptors. Without this guard, a child could keep the lock file open without knowing, and keep the
# lock.
_lock_guard = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_lock_guard.acquire, after_in_parent=_lock_guard.release, after_in_child=_lock_guard.release
    )


class SharedFileSource:
    """A `Source` for workers. The worker with the lock follows the authority and writes the file; the others read it.

    A reader also fetches from the authority in three cases:

    - at its start,
    - after a batch that does not follow its position,
    - after a long silence of the file: the writer hangs, or somebody withholds batches.
    """

    def __init__(
        self, file: SharedFile, authority: AuthoritySource, *, clock: Clock, jitter: Callable[[], float]
    ) -> None:
        self._file = file
        self._authority = authority
        self._clock = clock
        self._jitter = jitter
        self._election = Election(file)
        self._writer = SharedFileWriter(file)
        self._reader = SharedFileReader(file)
        self._trouble: str | None = None
        self._reset()
        authority.on_batch = self._record

    def follow(self, run: Run) -> float:
        try:
            if not self._election.won():
                return self._read(run)
        except (OSError, SharedFileUnusable) as error:
            self._warn(error)
            run.role = f"follows by itself: {self._trouble}"
            return self._authority.follow(run)
        self._reader.end()
        run.role = "follows"
        try:
            return self._authority.follow(run)
        except SharedFileReplaced:
            _log.warning("another worker writes %s, so this worker does not follow the feed itself", self._file.path)
            self._election.resign()
            return LOOK_PAUSE

    def stop(self) -> None:
        self._authority.stop()

    def close(self) -> None:
        self._authority.close()
        self._writer.end()
        self._reader.end()
        self._election.resign()

    def forget(self) -> None:
        self._authority.forget()
        self._writer.forget()
        self._reader.forget()
        self._election.forget()
        self._reset()

    def _reset(self) -> None:
        self._patience = SHORTEST_PATIENCE + SPREAD * self._jitter()
        self._lacking = False
        self._asked = self._heard = 0.0

    def _read(self, run: Run) -> float:
        if not run.settled:
            self._heard = self._clock.monotonic()
            # The read starts before the page is fetched, so no batch in between is missed.
            self._reader.begin()
            self._authority.catch_up(run)
        self._apply_shared(run)
        now = self._clock.monotonic()
        # If all batches in the file arrive late, the file is treated as silent too.
        silent = max(now - self._heard, run.feed.age()) > self._patience
        run.role = f"asks the authority: {self._file.path} is silent" if silent else f"reads {self._file.path}"
        if (silent or self._lacking) and now - self._asked >= POLL_PAUSE:
            self._asked = now
            self._authority.catch_up(run)
            self._lacking = False
        self._trouble = None
        return LOOK_PAUSE

    def _apply_shared(self, run: Run) -> None:
        for line in self._reader.lines():
            if run.is_over:
                return
            try:
                whole = run.apply_shared(line)
            except (BatchRefused, KeysUnavailable) as error:
                if not self._lacking:
                    _log.info("a batch of %s was ignored: %s", self._file.path, error)
                self._lacking = True
                continue
            if whole:
                self._lacking, self._heard = False, self._clock.monotonic()

    def _record(self, run: Run, octets: bytes) -> None:
        if not self._election.held:
            return
        try:
            self._writer.add(octets)
        except (OSError, SharedFileUnusable) as error:
            self._warn(error)
            run.role = f"follows, but cannot write: {self._trouble}"
        else:
            self._trouble = None
            run.role = f"follows, and writes {self._file.path}"

    def _warn(self, error: OSError | SharedFileUnusable) -> None:
        why = f"{self._file.path}: {error.strerror}" if isinstance(error, OSError) else str(error)
        if why != self._trouble:  # Log the same failure only once.
            _log.warning("revocations cannot be shared between the workers of this host: %s", why)
        self._trouble = why


class Election:
    """One worker's attempts to get the lock, which decides which worker follows the authority."""

    def __init__(self, file: SharedFile) -> None:
        self._file = file
        self._fd: int | None = None

    def won(self) -> bool:
        """Take the lock if it is free. Return whether this worker has the lock. Never waits.

        Raises `OSError` or `SharedFileUnusable`.
        """
        if self._fd is None:
            with _lock_guard:
                self._fd = self._taken()
        return self._fd is not None

    @property
    def held(self) -> bool:
        """Whether this worker has the lock."""
        return self._fd is not None

    def resign(self) -> None:
        """Release the lock, so that another worker can follow the authority."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    # In a forked child, this keeps the lock, because the parent also has the file open.
    forget = resign

    def _taken(self) -> int | None:
        fd = open_private(self._file.lock, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there = os.stat(self._file.lock, follow_symlinks=False)
            if os.path.samestat(os.fstat(fd), there):
                # Otherwise the lock file was deleted, and other workers lock a new file.
                return fd
        except (BlockingIOError, FileNotFoundError):
            # Another worker has the lock, or the lock file was just deleted. The next call tries again.
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None
