"""How long a document takes to be applied: one of 200 agents, the second time as well, and the largest; and how long
tokens wait for it.

    uv run --no-sync python benchmarks/configuration.py [postgresql+psycopg://user@host/empty]

Without a database, one of SQLite in a temporary folder.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from authsec_server.configuration.api import document_of
from authsec_server.configuration.document import Document
from authsec_server.configuration.planning import MOST_WORK, PlanRequest, apply, planned
from authsec_server.configuration.reading import present
from authsec_server.configuration.steps import Setting
from authsec_server.db import Database, Tx, open_database
from authsec_server.delegations.model import Terms
from authsec_server.failures import Unavailable
from authsec_server.principal import LOCAL_OPERATOR, Act
from sqlalchemy import text

AGENTS, ROLES, APIS = 200, 20, 10
SETTING = Setting(
    terms=Terms(max_token_lifetime=86_400, default_audience="authsec-api"),
    trust_domain="example.org",
    may_look_up=False,
)


def main(url: str) -> None:
    database = open_database(url)
    database.migrate()
    document = Document.model_validate(_document(AGENTS))
    size = len(json.dumps(_document(AGENTS)))
    print(f"{AGENTS} agents, {AGENTS} delegations, {ROLES} roles, {APIS} APIs: {size:,} bytes of JSON")
    asked = PlanRequest(document=document)
    _took("compared", lambda tx: planned(tx, _act(), asked, SETTING), database.read)
    _took("rehearsed (and undone)", lambda tx: _apply(tx, asked), database.rehearse)
    with _waiting(database):
        _took("applied", lambda tx: _apply(tx, asked), database.change)
    _took("compared again: nothing to change", lambda tx: _nothing(planned(tx, _act(), asked, SETTING)), database.read)
    _took("exported", lambda tx: document_of(present(tx, _act())), database.read)
    wider = _document(AGENTS)
    for role in wider["roles"].values():
        role["actions"].append("orders:read")
    edits = PlanRequest(document=Document.model_validate(wider))
    with _waiting(database):
        _took("20 roles edited", lambda tx: _apply(tx, edits), database.change)
    emptied = PlanRequest(document=Document(agents={}, delegations={}), prune=True)
    with _waiting(database):
        _took(f"pruned: {2 * AGENTS} removed", lambda tx: _apply(tx, emptied), database.change)
    _largest(database)
    database.close()


def _largest(database: Database) -> None:
    """What takes longest of all that one document may bring: as many acts as there may be, of the costliest kinds."""
    whole = _document(MOST_WORK)
    for its in whole["delegations"].values():
        del its["audiences"]
    for section in ("agents", "delegations"):
        its = PlanRequest(document=Document.model_validate({section: whole[section]}))
        _took(f"{MOST_WORK} {section} made", partial(_apply, asked=its), database.change)
    for section in ("agents", "delegations"):
        off = {section: {slug: its | {"enabled": False} for slug, its in whole[section].items()}}
        turned = PlanRequest(document=Document.model_validate(off))
        _took(f"{MOST_WORK} {section} turned off", partial(_apply, asked=turned), database.rehearse)
    described = {"agents": {slug: its | {"labels": {"team": "x"}} for slug, its in whole["agents"].items()}}
    edits = PlanRequest(document=Document.model_validate(described))
    _took(f"{MOST_WORK} agents edited", lambda tx: _apply(tx, edits), database.rehearse)
    revoked = PlanRequest(document=Document(delegations={}), prune=True)
    _took(f"{MOST_WORK} delegations revoked", lambda tx: _apply(tx, revoked), database.rehearse)


def _apply(tx: Tx, asked: PlanRequest) -> None:
    apply(tx, _act(), planned(tx, _act(), asked, SETTING))


def _nothing(plan: Any) -> None:
    assert not plan.steps


def _took(what: str, work: Callable[[Tx], object], unit: Callable[[Callable[[Tx], None]], None]) -> None:
    """Time that passes; and processor time, of this process and of PostgreSQL's: of that nobody else takes any."""
    worked = [0.0, 0.0]

    def timed(tx: Tx) -> None:
        there, here = _of_postgresql(tx), time.thread_time()
        work(tx)
        worked[:] = time.thread_time() - here, _of_postgresql(tx) - there

    began = time.perf_counter()
    unit(timed)
    passed, (here, there) = time.perf_counter() - began, worked
    print(f"{what:40}{passed:8.2f} s passed, {here:6.2f} s worked, {there:6.2f} s worked by PostgreSQL")


def _of_postgresql(tx: Tx) -> float:
    """Processor time that the server of this connection has taken, where it runs on this machine (Linux); else 0."""
    if tx.connection.dialect.name != "postgresql":
        return 0.0
    process = Path("/proc") / str(tx.connection.execute(text("SELECT pg_backend_pid()")).scalar_one()) / "stat"
    if not process.exists():
        return 0.0
    user, system = process.read_text().rpartition(")")[2].split()[11:13]  # proc(5): utime and stime
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _waiting(database: Database) -> Iterator[None]:
    """How long somebody waits meanwhile who wants to record that a token is issued."""
    waited, refused, over = [], 0, threading.Event()

    def record() -> None:
        nonlocal refused
        while not over.is_set():
            began = time.perf_counter()
            try:
                database.record(lambda tx: tx.version)
            except Unavailable:  # waited too long: whoever asked for a token was told to retry
                refused += 1
            waited.append(time.perf_counter() - began)
            time.sleep(0.01)

    thread = threading.Thread(target=record)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        print(f"{'  a token waited at most':40}{max(waited):8.2f} s, {refused} told to retry")


def _document(agents: int) -> dict[str, Any]:
    actions = [f"{noun}:{verb}" for noun in ("customers", "tickets") for verb in ("read", "write", "delete")]
    return {
        "apis": {
            f"api-{n}": {"identifier": f"https://api-{n}.example.com", "actions": {each: each for each in actions}}
            for n in range(APIS)
        },
        "roles": {f"role-{n}": {"name": f"Role {n}", "actions": [*actions]} for n in range(ROLES)},
        "agents": {
            f"agent-{n}": {
                "name": f"Agent {n}",
                "owner": f"Team {n % 7}",
                "labels": {"team": f"team-{n % 7}"},
                "proofs": [
                    {"platform": "kubernetes", "selectors": {"k8s:ns": "production", "k8s:sa": f"agent-{n}"}},
                ],
            }
            for n in range(agents)
        },
        "delegations": {
            f"agent-{n}-works": {
                "agent": f"agent-{n}",
                "role": f"role-{n % ROLES}",
                "actions": actions[:3],
                "max_duration": "30m",
                "audiences": [f"api-{n % APIS}"],
            }
            for n in range(agents)
        },
    }


def _act() -> Act:
    return Act(
        principal=LOCAL_OPERATOR,
        now=datetime.now(UTC),
        request_id=f"req_{secrets.token_hex(12)}",
        address="",
        token_bytes=secrets.token_bytes,
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with TemporaryDirectory() as folder:
            main(f"sqlite:///{Path(folder) / 'authsec.sqlite3'}")
