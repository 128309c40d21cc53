"""A PostgreSQL primary with a standby by streaming replication, which can take the place of the primary."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg

from ..faults.databases import Cluster, cluster

STANDBY = "standby"  # in `synchronous_standby_names`
WAITING = 60.0  # seconds


class Pair:
    """The primary and its standby. Servers reach whichever accepts writes, by one URL with both hosts."""

    def __init__(self, primary: Cluster, folder: Path) -> None:
        self.primary = primary
        self.folder = folder / "standby"
        self._sockets = folder / "standby-socket"
        self._sockets.mkdir()
        self._sockets.chmod(0o777)
        self._user = primary._server.system_user
        folder.chmod(0o777)  # PostgreSQL's user makes the folder of the standby
        source = f"{primary.uri}&application_name={STANDBY}"
        self._control("pg_basebackup", "-D", str(self.folder), "-R", "-X", "stream", "-c", "fast", "-d", source)
        self.start_standby()

    def start_standby(self) -> None:
        """Start the standby, and wait until it follows the primary."""
        log = str(self.folder / "log")
        self._control("pg_ctl", "-D", str(self.folder), "-w", "-l", log, "-o", f'-h "" -k {self._sockets}', "start")
        self._await(lambda: self._on_primary("SELECT state FROM pg_stat_replication") == [("streaming",)])

    def make_synchronous(self, names: str = STANDBY) -> None:
        """Let each commit on the primary wait for the standby; with no names, for nobody."""
        self.primary.run(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self.primary.run("SELECT pg_reload_conf()")
        wanted = [("sync" if names else "async",)]
        self._await(lambda: self._on_primary("SELECT sync_state FROM pg_stat_replication") == wanted)

    def stop_primary(self) -> None:
        """Stop the primary in order."""
        self._control("pg_ctl", "-D", str(self.primary.folder), "-w", "-m", "fast", "stop")

    def freeze_primary(self) -> None:
        """SIGSTOP the primary: its sockets stay open, and nobody answers."""
        postmaster = psutil.Process(int((self.primary.folder / "postmaster.pid").read_text().split()[0]))
        for process in (postmaster, *postmaster.children(recursive=True)):
            process.suspend()

    def go_on_alone(self) -> None:
        """Let commits wait for no standby. A session of its own may commit nothing before."""
        self.primary.run("ALTER SYSTEM SET synchronous_standby_names = ''")
        self.primary.run("SELECT pg_reload_conf()")

    def promote(self) -> None:
        """Make a primary of the standby."""
        self._control("pg_ctl", "-D", str(self.folder), "-w", "promote")

    def hold_back(self) -> None:
        """Send nothing more to the standby. The primary goes on, as over a slow network."""
        ((pid,),) = self.primary.run("SELECT pid FROM pg_stat_replication")
        psutil.Process(pid).suspend()

    def kill_standby(self) -> None:
        """SIGKILL the standby, as the end of its machine."""
        postmaster = self._standby()
        for process in (postmaster, *postmaster.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def await_replay(self) -> None:
        """Wait until the standby has replayed all that the primary has written."""
        ((written,),) = self.primary.run("SELECT pg_current_wal_insert_lsn()::text")
        behind = f"SELECT pg_last_wal_replay_lsn() < '{written}'::pg_lsn"
        self._await(lambda: self._on_standby(behind) == [(False,)])

    def _standby(self) -> psutil.Process:
        return psutil.Process(int((self.folder / "postmaster.pid").read_text().split()[0]))

    # What `Deployment` needs of a cluster:

    def create(self) -> str:
        """Create an empty database; the name."""
        return self.primary.create()

    def uri_of(self, database: str) -> str:
        """The URL of a database for servers and commands: both hosts, and only a primary will do."""
        hosts = f"{Path(self.primary.socket).parent},{self._sockets}"
        return f"postgresql://postgres@/{database}?host={quote(hosts, safe='')}&target_session_attrs=read-write"

    def _on_primary(self, statement: str) -> list[tuple[Any, ...]]:
        return self.primary.run(statement)

    def _on_standby(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(host=str(self._sockets), user="postgres", dbname="postgres", autocommit=True) as session:
            return session.execute(statement.encode()).fetchall()

    def _await(self, is_so: Any) -> None:
        deadline = time.monotonic() + WAITING
        while not is_so():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.05)

    def _control(self, name: str, *arguments: str) -> None:
        command = [str(self.primary._bin / name), *arguments]
        with tempfile.TemporaryFile("w+") as output:  # a pipe would stay open in the server that `pg_ctl` starts
            done = subprocess.run(
                command, check=False, stdout=output, stderr=output, timeout=WAITING, user=self._user, cwd="/"
            )
            output.seek(0)
            assert done.returncode == 0, output.read()

    def close(self) -> None:
        """Stop the standby, and a frozen primary."""
        with suppress(OSError, psutil.Error):
            self.kill_standby()
        with suppress(OSError, psutil.Error):
            self.primary.kill()


@contextmanager
def pair() -> Iterator[Pair]:
    """A primary and its standby, which is asynchronous until `make_synchronous`."""
    with (
        tempfile.TemporaryDirectory(prefix="authsec-pair-", ignore_cleanup_errors=True) as folder,
        cluster() as primary,
    ):
        Path(folder).chmod(0o755)
        opened = Pair(primary, Path(folder))
        try:
            yield opened
        finally:
            opened.close()
