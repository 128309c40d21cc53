"""PgBouncer before a PostgreSQL server."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
from free_ports import free_port

from .haproxy import program

STARTING = 10.0  # seconds
_CONFIGURATION = """
[databases]
* = host={host} port=5432 user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
admin_users = postgres
pool_mode = {mode}
default_pool_size = {size}
{more}
"""
# docs/high-availability.md: without this line, PgBouncer refuses the sessions of the server.
IGNORED = "ignore_startup_parameters = options"


@contextmanager
def pgbouncer(uri: str, mode: str, *, size: int = 60, more: str = IGNORED, port: int = 0) -> Iterator[str]:
    """A running PgBouncer in this pool mode; the URI of the database behind it."""
    path, port = program("pgbouncer", "pgbouncer"), port or free_port()
    parts = urlsplit(uri.replace("+psycopg", ""))
    (host,) = parse_qs(parts.query)["host"]
    with tempfile.TemporaryDirectory(prefix="authsec-pgbouncer-") as folder:
        Path(folder).chmod(0o755)
        file = Path(folder) / "pgbouncer.ini"
        file.write_text(_CONFIGURATION.format(host=host, port=port, mode=mode, size=size, more=more))
        # PgBouncer refuses to run as root. PostgreSQL's socket may be in a folder of PostgreSQL's user.
        user = Path(host).stat().st_uid if os.getuid() == 0 else None
        with (Path(folder) / "log").open("w") as output:
            process = subprocess.Popen([path, file], stdout=output, stderr=output, user=user, cwd="/")
        through = f"postgresql://postgres@127.0.0.1:{port}{parts.path}"
        try:
            _await(through, process, Path(folder) / "log")
            yield through
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(10)


def _await(uri: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTING
    while True:
        assert process.poll() is None, log.read_text()
        try:
            psycopg.connect(uri, connect_timeout=5).close()
            return
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
