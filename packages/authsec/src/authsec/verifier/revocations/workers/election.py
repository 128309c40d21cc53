"""Which of the workers follows: the one that holds the lock. The system frees it when its holder ends, however."""

from __future__ import annotations

import os
import sys
import threading

from authsec.verifier.revocations.workers.place import Place, open_own

if sys.platform != "win32":
    import fcntl

# A fork copies descriptors. A child that did not know of one of the lock would hold it for as long as it lives.
_taking = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_taking.acquire, after_in_parent=_taking.release, after_in_child=_taking.release)


class Election:
    """The candidacy of one worker."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._fd: int | None = None

    def won(self) -> bool:
        """Whether this worker follows, from now on or still. Raises `OSError` or `Unusable`; never waits."""
        if self._fd is None:
            with _taking:
                self._fd = self._taken()
        return self._fd is not None

    @property
    def held(self) -> bool:
        """Whether it was won and not given back."""
        return self._fd is not None

    def resign(self) -> None:
        """Let another worker follow."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    forget = resign  # of a child: to close it frees nothing, since the parent has it open as well

    def _taken(self) -> int | None:
        fd = open_own(self._place.lock, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there = os.stat(self._place.lock, follow_symlinks=False)
            if os.path.samestat(os.fstat(fd), there):  # else somebody has deleted it meanwhile, and others lock another
                return fd
        except (BlockingIOError, FileNotFoundError):
            pass  # another was elected, or the file has just gone: the next look tries again
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None
