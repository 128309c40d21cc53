"""Faults that end with an older database: a damaged SQLite file, and a backup that is put back."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import time
from pathlib import Path
from typing import Final

from .databases import copy_sqlite
from .deployment import Deployment
from .observations import Window
from .scene import Over, Scene

PAGE: Final = 4096  # bytes of SQLite
SEALED: Final = 30.0  # seconds after which a busy machine has sealed what was written
SPARED: Final = 1  # pages at the beginning, so that the file still looks like a database


def damage_a_file(scene: Scene) -> Over:
    """Random bytes in all pages but the first while the server works; then a restart; then a copy is put back."""
    its = scene.its
    (port,) = its.servers
    copy = its.folder / f"copy-{time.monotonic_ns()}.sqlite3"
    with scene.load.paused():
        its.keep_checkpoints()
        copy_sqlite(its.sqlite_file, copy)
        backed_up = time.monotonic()
        _overwrite(its.sqlite_file)
    time.sleep(scene.lasts(1.0, 10.0))
    with scene.load.paused():
        its.servers[port].signal(signal.SIGTERM)
        its.servers[port].process.wait(30)
    without = _without_a_trace(scene, backed_up)
    scene.seen.unexpected += [f"token {jti} left no trace in the damaged files" for jti in without]
    its.launch(port)  # which may refuse to start, and must not answer 500
    time.sleep(scene.lasts(1.0, 5.0))
    its.servers[port].stop()
    _put_back_sqlite(its, copy)
    return _restored(scene, backed_up)


def restore_a_backup(scene: Scene) -> Over:
    """A backup under load, half a second to seconds of work, the end of all servers, and the backup is put back."""
    its = scene.its
    backup = its.folder / f"backup-{time.monotonic_ns()}"
    with scene.load.paused():  # so that it is certain which tokens the backup knows
        its.keep_checkpoints()
        _back_up(its, backup)
        backed_up = time.monotonic()
    time.sleep(scene.lasts(1.0, 10.0))
    _await_checkpoints(its)
    for server in its.servers.values():
        server.kill()
    if its.cluster is None:
        _put_back_sqlite(its, backup)
    else:
        its.cluster.restore(its.database, backup)
    return _restored(scene, backed_up, refuses=True)


def _await_checkpoints(its: Deployment) -> None:
    """Wait for two more outside checkpoints: the last one covers work after the backup, so that its age shows."""
    deadline = time.monotonic() + SEALED
    for _ in range(2):
        size = its.checkpoints.stat().st_size
        while its.checkpoints.stat().st_size == size and time.monotonic() < deadline:
            time.sleep(0.05)


def _restored(scene: Scene, backed_up: float, *, refuses: bool = False) -> Over:
    """Say that the database was restored, with a new file of outside checkpoints, and start all servers.

    With `refuses` the servers are started before that: with an older database than their outside checkpoints they issue
    nothing.
    """
    its, started = scene.its, time.monotonic()
    if refuses:
        for port in list(its.servers):
            its.launch(port)
        time.sleep(scene.lasts(2.0, 10.0))
        scene.seen.unasked += [
            f"token {token.jti} was issued by an older database" for token in scene.seen.tokens if token.sent > started
        ]
    recorded = time.monotonic()  # servers that run go on by themselves once this is done
    said = its.command("admin", "restored", "--yes", "--checkpoint", str(its.checkpoints))
    assert said.returncode == 0, f"authsec admin restored: {said.stderr}"
    for server in its.servers.values():
        server.stop()
    end = time.monotonic()
    its.checkpoints.unlink(missing_ok=True)  # the checkpoints of the lost time are no checkpoints of this log
    scene.seen.lost.append(Window(begin=backed_up, end=recorded))
    for port in list(its.servers):
        its.launch(port)
    return Over(begin=backed_up, end=end, ports=list(its.servers))


def _back_up(its: Deployment, file: Path) -> None:
    if its.cluster is not None:
        its.cluster.dump(its.database, file)
    else:
        made = its.command("backup", str(file))
        assert made.returncode == 0, f"authsec backup: {made.stderr}"


def _put_back_sqlite(its: Deployment, copy: Path) -> None:
    for name in ("authsec.sqlite3", "authsec.sqlite3-wal", "authsec.sqlite3-shm"):
        (its.data / name).unlink(missing_ok=True)
    shutil.copyfile(copy, its.sqlite_file)
    its.sqlite_file.chmod(0o600)


def _overwrite(file: Path) -> None:
    """Move all that is committed into the main file, then write random bytes over it, in place."""
    connection = sqlite3.connect(file, isolation_level=None, timeout=10)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    with file.open("r+b") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(SPARED * PAGE)
        while opened.tell() < size:
            opened.write(os.urandom(PAGE))
        opened.flush()
        os.fsync(opened.fileno())


def _without_a_trace(scene: Scene, since: float) -> list[str]:
    """Tokens received since, of which no byte sequence in the database files tells."""
    its = scene.its
    files = [its.sqlite_file, its.data / "authsec.sqlite3-wal"]
    octets = b"".join(file.read_bytes() for file in files if file.exists())
    return [token.jti for token in scene.seen.tokens if token.sent > since and token.jti.encode() not in octets]
