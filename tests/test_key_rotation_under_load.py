"""The authority changes the key that it signs with, while agents get tokens and two APIs verify them.

What takes minutes is made short here on both sides alike. The authority publishes a key five minutes before it signs,
and an API renews its keys every five minutes: here both are `ROUND` seconds, the first by making the prepared key as
old as it would be.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import urllib3
from authsec import AuthSecClient
from authsec.jose import parse_compact
from authsec_server.db import open_database
from authsec_server.keys import store
from authsec_server.keys.model import PUBLISH_AHEAD, KeyState

APIS = 2
ROUND = 1.2  # an API looks for a key that it does not know once a second at most, which is a minute in earnest
PAUSE = 0.05  # seconds between two turns of an agent: what matters is that tokens come all the time
API = Path(__file__).with_name("rotation_api.py")


@dataclass
class Seen:
    """What became of the tokens: by the key that signed them, which APIs let them in; and every answer but 200."""

    let_in: dict[str, set[str]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    count: int = 0


@pytest.mark.sqlite_suffices
@pytest.mark.soak  # test_keys_rotation.py of the server rotates keys without load
def test_no_good_token_is_refused(serve: Any) -> None:
    limits = dict.fromkeys(("AUTHSEC_SERVER_UNPROVED_LIMIT", "AUTHSEC_SERVER_ADDRESS_LIMIT"), "1000000")
    its = serve(AUTHSEC_SERVER_SIGNERS="2", **limits)
    role = its.role("Reader", "customers:read")
    agents = [its.agent(f"Agent {n}") for n in range(3)]
    for agent in agents:
        its.delegate(role, agent, "customers:read")
    seen, stop = Seen(), threading.Event()
    with apis(its.url) as urls, ThreadPoolExecutor(len(agents)) as pool:
        at_work = [pool.submit(work, its.url, agent.client_id, urls, stop, seen) for agent in agents]
        try:
            signed = [rotated(its) for _ in range(2)]
            time.sleep(2 * ROUND)  # so that each API may look for one
            signed += [its.post("keys/rotate", force=True)["kid"] for _ in range(2)]  # the second was seen by nobody
            time.sleep(2 * ROUND)
            signed += [its.post("keys/rotate", now=True)["kid"]]  # a key that nobody has seen
            time.sleep(ROUND / 3)
        finally:
            stop.set()
        for each in at_work:
            each.result()
    assert seen.refused == []
    assert [seen.let_in.get(kid) for kid in (signed[0], signed[1], *signed[3:])] == [set(urls)] * 4
    assert seen.count > 100


def rotated(its: Any) -> str:
    """The key that signs from now on. It has been published for as long as the APIs use a set without renewing it."""
    time.sleep(ROUND)
    data = its.where[1]
    database = open_database(data if "://" in data else f"sqlite:///{data}/authsec.sqlite3")

    def grow_older(tx: Any) -> None:
        prepared = store.signing_keys.c.state == KeyState.PREPARED
        created = store.in_states(tx.connection, (KeyState.PREPARED,))[0].created_at - PUBLISH_AHEAD
        tx.connection.execute(store.signing_keys.update().where(prepared).values(created_at=created))

    database.append(grow_older)
    database.close()
    kid: str = its.post("keys/rotate")["kid"]
    return kid


def work(issuer: str, client_id: str, urls: list[str], stop: threading.Event, seen: Seen) -> None:
    """An agent that gets a new token for each turn, and shows it to every API; its first one of each key as well."""
    client, first = AuthSecClient(base_url=issuer, client_id=client_id), dict[str, str]()
    with urllib3.PoolManager() as http:
        while not stop.wait(PAUSE):
            token = client.get_token(force_refresh=True).value
            first.setdefault(kid_of(token), token)
            for url in urls:
                for shown in (token, *first.values()):
                    answer = http.request("GET", url, headers={"Authorization": f"Bearer {shown}"}, retries=False)
                    seen.count += 1
                    if answer.status != 200:
                        seen.refused.append(f"{answer.status} {answer.data.decode()}")
                    else:
                        seen.let_in.setdefault(kid_of(shown), set()).add(url)


def kid_of(token: str) -> str:
    kid: str = parse_compact(token).header["kid"]
    return kid


@contextmanager
def apis(issuer: str) -> Iterator[list[str]]:
    """APIs, each a process that follows the feed and renews its keys every `ROUND` seconds."""
    with ExitStack() as stack:
        started = [
            subprocess.Popen([sys.executable, str(API), issuer, str(ROUND)], stdout=subprocess.PIPE, text=True)
            for _ in range(APIS)
        ]
        for process in started:
            stack.enter_context(process)
            stack.callback(process.kill)
        yield [process.stdout.readline().strip() for process in started if process.stdout]
