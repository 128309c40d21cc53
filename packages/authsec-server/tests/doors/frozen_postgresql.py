"""A PostgreSQL that hangs: all of its processes are stopped (SIGSTOP), and its sockets stay open."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import psycopg


@contextmanager
def frozen(server: str) -> Iterator[None]:
    """Stop all processes of PostgreSQL where they are."""
    with psycopg.connect(server) as session:
        backend = psutil.Process(session.info.backend_pid)
        postmaster = backend.parent()
    assert postmaster is not None
    stopped = [postmaster, *postmaster.children(recursive=True)]
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in stopped:
            if process.is_running():
                process.send_signal(signal.SIGCONT)
