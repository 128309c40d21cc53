"""A server that is frozen inside of a change: it holds the authority lock, and nobody else can change anything."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from free_ports import free_port

from .deployment import Answer
from .observations import Change
from .scene import Over, Scene

STUCK: Final = 20.0  # seconds: a change waits 3 s for a server frozen in `record`, 15 s for one frozen in `change`
ROLES: Final = 300  # in the document: enough that the change takes longer than a look at the lock
TRIES: Final = 20  # to freeze a server inside of its change


@dataclass(slots=True)
class Document:
    """A document of many roles that a server applies, in one change."""

    scene: Scene
    port: int
    mark: str
    answers: list[Answer] = field(default_factory=list)
    thread: threading.Thread = field(init=False)
    kind: str = field(init=False)  # of its events

    def __post_init__(self) -> None:
        there = self.scene.its.administer(self.port, "GET", "roles/of-a-document-0").done
        self.kind = "role.edited" if there else "role.created"
        self.thread = threading.Thread(target=self._apply, daemon=True)
        self.thread.start()

    def _apply(self) -> None:
        role = {"actions": ["customers:read"], "description": self.mark}
        document = {"roles": {f"of-a-document-{number}": role for number in range(ROLES)}}
        self.answers.append(
            self.scene.its.administer(self.port, "POST", "configuration", timeout=60.0, configuration=document)
        )

    def made(self) -> int:
        """How many of the roles are as the document says, at any server that answers."""
        its = self.scene.its
        deadline = time.monotonic() + STUCK
        while time.monotonic() < deadline:
            for port in its.servers:
                answer = its.administer(port, "GET", "configuration")
                if answer.done:
                    roles: dict[str, Any] = answer.body["configuration"].get("roles", {})
                    return sum(role.get("description") == self.mark for role in roles.values())
            time.sleep(0.1)
        return 0


def freeze_a_change(scene: Scene) -> Over:
    """SIGSTOP of a server while it holds the authority lock of a change."""
    with _victim(scene) as port:
        other = next(each for each in scene.its.servers if each != port)
        with scene.load.paused():  # so that no other change, and no token, holds the lock
            document = _freeze(scene, port)
            begin = time.monotonic()
        overtaken = False
        if scene.its.cluster:
            overtaken = change_meanwhile(scene, other, begin, 0.0)
            _token_meanwhile(scene, other, begin)
        else:
            _locked_meanwhile(scene, other, begin)
        scene.its.servers[port].signal(signal.SIGCONT)
        end = time.monotonic()
        document.thread.join()
        _judge(scene, document, overtaken=overtaken)
    return Over(begin=begin, end=end, ports=list(scene.its.servers))


@contextmanager
def _victim(scene: Scene) -> Iterator[int]:
    """The server to freeze; on SQLite one more than there are, so that another one can be asked."""
    if scene.its.cluster:
        yield list(scene.its.servers)[-1]
        return
    port = free_port()
    scene.its.start(port)
    try:
        yield port
    finally:
        scene.its.servers.pop(port).stop()


def _freeze(scene: Scene, port: int) -> Document:
    """Have the server apply documents until it is stopped with the lock in its hand."""
    server = scene.its.servers[port]
    for number in range(TRIES):
        document = Document(scene, port, mark=f"document {number} of {time.monotonic_ns()}")
        while not document.answers and not (_is_locked(scene) and _is_locked(scene)):
            time.sleep(0.002)
        server.signal(signal.SIGSTOP)
        time.sleep(0.1)
        if not document.answers and _is_locked(scene):
            time.sleep(0.2)
            if _is_locked(scene):  # still: it is the lock of the server that does nothing
                return document
        server.signal(signal.SIGCONT)
        document.thread.join()
        scene.seen.answered("change", document.answers[0].status, str(document.answers[0].body))
    raise AssertionError(f"the server was not frozen inside of a change in {TRIES} tries")


def _is_locked(scene: Scene) -> bool:
    """Whether a transaction holds the authority lock exclusively; on SQLite, the write lock."""
    its = scene.its
    if its.cluster:
        return bool(its.cluster.lock_holders(its.database, "ExclusiveLock"))
    connection = sqlite3.connect(its.sqlite_file, isolation_level=None, timeout=0)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return True
    finally:
        connection.close()
    return False


def change_meanwhile(scene: Scene, port: int, begin: float, seconds: float) -> bool:
    """Changes at a healthy server, and whether one was made. The first must not wait for the end of the fault."""
    path, first = f"roles/{scene.load.changed[0].role}", None
    while time.monotonic() < begin + (STUCK if first is None else seconds):
        answer = scene.its.administer(port, "PATCH", path, description=f"changed at {time.monotonic()}")
        scene.seen.answered("change", answer.status, str(answer.body))
        if answer.done and first is None:
            first = answer.received - begin
        time.sleep(0.2)
    scene.seen.slowest_change = max(scene.seen.slowest_change, first or STUCK)
    if first is None:
        scene.seen.stuck.append(f"no change was acknowledged within {STUCK:g} s of the freeze of another server")
    return first is not None


def _token_meanwhile(scene: Scene, port: int, begin: float) -> None:
    """The healthy server issues again once the lock is taken away from the frozen one."""
    while time.monotonic() < begin + STUCK:
        if any(token.port == port and token.sent > begin for token in scene.seen.tokens):
            return
        time.sleep(0.05)
    scene.seen.stuck.append(f"no token was issued within {STUCK:g} s of the freeze of another server")


def _locked_meanwhile(scene: Scene, port: int, begin: float) -> None:
    """Nobody can take SQLite's lock away: changes get 503, and `/readyz` names the lock."""
    path, status = f"roles/{scene.load.changed[0].role}", None
    answer = scene.its.administer(port, "PATCH", path, description=f"changed at {time.monotonic()}")
    scene.seen.answered("change", answer.status, str(answer.body))
    if answer.status != 503:
        scene.seen.unexpected.append(f"change beside a frozen lock: {answer.status} {answer.body}")
    while time.monotonic() < begin + STUCK:
        ready = scene.its.call(port, "GET", "/readyz").body
        status = ready.get("status") if isinstance(ready, dict) else None
        if status == "write_lock_held":
            return
        time.sleep(0.2)
    scene.seen.unexpected.append(f"/readyz says {status} and not write_lock_held while another server is frozen")


def _judge(scene: Scene, document: Document, *, overtaken: bool) -> None:
    """The change of the frozen server is made as a whole or not at all, and as the answer says.

    `overtaken`: another server has made a change meanwhile, so this one must not be made any more.
    """
    (answer,) = document.answers
    scene.seen.answered("change", answer.status, str(answer.body))
    if answer.done:
        change = Change(
            kind=document.kind, subject="documents", request_id=answer.request_id,
            sent=answer.sent, answered=answer.received,
        )  # fmt: skip
        scene.seen.changes.append(change)
    made = document.made()
    if made != ROLES and (made or answer.done):
        scene.seen.partial.append(f"{made} of {ROLES} roles of a document that was answered {answer.status}")
    if overtaken and made:
        scene.seen.partial.append("a frozen server made its change after it had lost the authority lock")
