"""The faults: each is a function that breaks something, waits, mends it, and says when and for which servers."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from .databases import DICE, Cluster, Kind, full
from .deployment import AUTHSEC, WITH_A_CLOCK
from .freezing import change_meanwhile, freeze_a_change
from .restoring import damage_a_file, restore_a_backup
from .scene import Over, Scene

ENDING: Final = 25.0  # seconds: a process ends within 20 s of SIGTERM and the drain time, which is 0 here
TRIES: Final = 60  # to freeze a server inside of a `record`
HOLD_WRITE_LOCK: Final = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA busy_timeout=20000")
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(600)
"""


Inject = Callable[[Scene], Over]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault, the databases that it concerns, and the runtime that it needs.

    `rounds` are those of the short and of the long form. `crowd` further threads ask for tokens.
    `stays_unready`: `/readyz` may go on to name the fault afterwards, while tokens are issued.
    """

    name: str
    what: str
    inject: Inject
    kinds: Sequence[Kind] = ("sqlite", "postgresql")
    rounds: tuple[int, int] = (1, 5)
    proxied: bool = False
    own_disk: bool = False
    clock: bool = False
    crowd: int = 0
    stays_unready: bool = False

    @property
    def program(self) -> Sequence[str]:
        """What starts a server."""
        return WITH_A_CLOCK if self.clock else AUTHSEC


def kill_a_server(scene: Scene) -> Over:
    """SIGKILL of one server; started again after a moment."""
    port = DICE.choice(list(scene.its.servers))
    scene.its.servers[port].kill()
    begin = time.monotonic()
    time.sleep(DICE.uniform(0.0, 0.3))
    end = time.monotonic()
    scene.its.launch(port)
    return Over(begin=begin, end=end, ports=[port])


def kill_a_backend(scene: Scene) -> Over:
    """SIGKILL of a PostgreSQL backend; PostgreSQL ends all others and recovers."""
    begin = time.monotonic()
    _cluster(scene).kill_backend(scene.its.database)
    _cluster(scene).await_answer()
    return Over(begin=begin, end=time.monotonic(), ports=list(scene.its.servers))


def kill_postgresql(scene: Scene) -> Over:
    """SIGKILL of the postmaster; started again after a moment."""
    begin = time.monotonic()
    _cluster(scene).kill()
    time.sleep(scene.lasts(0.3, 2.0))
    _cluster(scene).start()
    _cluster(scene).await_answer()
    return Over(begin=begin, end=time.monotonic(), ports=list(scene.its.servers))


def silence_postgresql(scene: Scene) -> Over:
    """The proxy before PostgreSQL forwards nothing and closes nothing; connections of before stay silent for ever."""
    assert scene.its.proxy is not None
    begin = time.monotonic()
    scene.its.proxy.silence()
    time.sleep(scene.lasts(3.0, 20.0))
    scene.its.proxy.speak()
    return Over(begin=begin, end=time.monotonic(), ports=list(scene.its.servers))


def terminate_in_a_silence(scene: Scene) -> Over:
    """SIGTERM of a server whose PostgreSQL is silent. The process must end in time, whatever its threads wait for."""
    assert scene.its.proxy is not None
    port = DICE.choice(list(scene.its.servers))
    begin = time.monotonic()
    scene.its.proxy.silence()
    time.sleep(scene.lasts(1.0, 8.0))  # so that calls wait for PostgreSQL
    scene.its.servers[port].signal(signal.SIGTERM)
    try:
        scene.its.servers[port].process.wait(ENDING)
    except subprocess.TimeoutExpired:
        scene.seen.lasting.append(f"a server went on for {ENDING:g} s after SIGTERM while PostgreSQL was silent")
        scene.its.servers[port].kill()
    scene.its.proxy.speak()
    end = time.monotonic()
    scene.its.launch(port)
    return Over(begin=begin, end=end, ports=list(scene.its.servers))


def freeze_a_server(scene: Scene) -> Over:
    """SIGSTOP of one server; on PostgreSQL while it records a token, with changes made through the other."""
    port = DICE.choice(list(scene.its.servers))
    others = [other for other in scene.its.servers if other != port]
    _stop(scene, port)
    begin = time.monotonic()
    if others:
        change_meanwhile(scene, others[0], begin, scene.lasts(3.0, 20.0))
    else:
        time.sleep(scene.lasts(1.5, 10.0))
    scene.its.servers[port].signal(signal.SIGCONT)
    return Over(begin=begin, end=time.monotonic(), ports=[port])


def _stop(scene: Scene, port: int) -> None:
    """SIGSTOP, on PostgreSQL again and again until the server is stopped inside of a `record`."""
    server = scene.its.servers[port]
    for _ in range(TRIES if scene.its.cluster else 0):
        server.signal(signal.SIGSTOP)
        held = _cluster(scene).recording(scene.its.database)
        time.sleep(0.1)
        if held & _cluster(scene).recording(scene.its.database):
            return
        server.signal(signal.SIGCONT)
        time.sleep(DICE.uniform(0.0, 0.02))
    server.signal(signal.SIGSTOP)


def freeze_a_writer(scene: Scene) -> Over:
    """Another process takes the write lock of SQLite and is stopped with SIGSTOP."""
    command = [sys.executable, "-c", HOLD_WRITE_LOCK, str(scene.its.sqlite_file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        held = writer.stdout.readline()
        begin = time.monotonic()
        writer.send_signal(signal.SIGSTOP)
        assert held == "held\n"
        time.sleep(scene.lasts(3.0, 15.0))
        writer.kill()
    return Over(begin=begin, end=time.monotonic(), ports=list(scene.its.servers))


def fill_the_disk(scene: Scene) -> Over:
    """No byte is free where the database is."""
    assert scene.disk is not None
    begin = time.monotonic()
    with full(scene.disk):
        time.sleep(scene.lasts(1.5, 15.0))
    if scene.its.cluster is not None:
        scene.its.cluster.revive()
    return Over(begin=begin, end=time.monotonic(), ports=list(scene.its.servers))


def set_the_clock_back(scene: Scene) -> Over:
    """The clock of one server is three hours behind, then right."""
    return _moved(scene, away=signal.SIGUSR2, back=signal.SIGUSR1)


def set_the_clock_ahead(scene: Scene) -> Over:
    """The clock of one server is three hours ahead, then right."""
    return _moved(scene, away=signal.SIGUSR1, back=signal.SIGUSR2)


def _moved(scene: Scene, *, away: int, back: int) -> Over:
    port = DICE.choice(list(scene.its.servers))
    begin = time.monotonic()
    scene.its.servers[port].signal(away)
    time.sleep(scene.lasts(1.5, 12.0))
    scene.its.servers[port].signal(back)
    return Over(begin=begin, end=time.monotonic(), ports=[port])


def _cluster(scene: Scene) -> Cluster:
    assert scene.its.cluster is not None
    return scene.its.cluster


FAULTS: Final = (
    Fault(name="kill", what="`kill -9` of a server", inject=kill_a_server, rounds=(1, 60)),
    Fault(
        name="kill-backend",
        what="`kill -9` of a PostgreSQL backend",
        inject=kill_a_backend,
        kinds=("postgresql",),
        rounds=(1, 20),
    ),
    Fault(
        name="kill-postgresql",
        what="`kill -9` of PostgreSQL",
        inject=kill_postgresql,
        kinds=("postgresql",),
        rounds=(1, 20),
    ),
    Fault(
        name="silence",
        what="PostgreSQL accepts connections and never answers",
        inject=silence_postgresql,
        kinds=("postgresql",),
        rounds=(1, 3),
        proxied=True,
        crowd=24,
    ),
    Fault(
        name="terminate-silent",
        what="SIGTERM of a server while PostgreSQL never answers",
        inject=terminate_in_a_silence,
        kinds=("postgresql",),
        rounds=(1, 3),
        proxied=True,
        crowd=24,
    ),
    Fault(name="freeze", what="a server is frozen (SIGSTOP)", inject=freeze_a_server),
    Fault(
        name="freeze-change",
        what="a server is frozen inside of a change (SIGSTOP)",
        inject=freeze_a_change,
        rounds=(1, 3),
    ),
    Fault(
        name="freeze-writer",
        what="another process holds the write lock, frozen",
        inject=freeze_a_writer,
        kinds=("sqlite",),
    ),
    Fault(name="full-disk", what="the disk of the database is full", inject=fill_the_disk, own_disk=True),
    Fault(name="clock-behind", what="the clock of a server is 3 hours behind", inject=set_the_clock_back, clock=True),
    Fault(
        name="clock-ahead",
        what="the clock of a server is 3 hours ahead",
        inject=set_the_clock_ahead,
        clock=True,
        stays_unready=True,
    ),
    Fault(
        name="damage", what="the SQLite file is damaged, then restored", inject=damage_a_file, kinds=("sqlite",),
        rounds=(1, 3),
    ),
    Fault(name="restore", what="an older backup is restored", inject=restore_a_backup, rounds=(1, 3)),
)  # fmt: skip
