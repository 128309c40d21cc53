"""Agents that ask for tokens all the time, at a steady rate, in a process of their own."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.sharedctypes import Synchronized

from authority import Agent
from authsec import AuthSecError

THREADS = 4


@contextmanager
def load(agents: list[Agent], url: str, a_second: float) -> Iterator[Callable[[], float]]:
    """So many token requests a second; call what it gives for how many were answered with one, a second."""
    context = multiprocessing.get_context("spawn")
    got = context.Value("q", 0)
    began = time.monotonic()
    asking = context.Process(target=_ask, args=(agents, url, a_second, got), daemon=True)
    asking.start()
    try:
        yield lambda: got.value / (time.monotonic() - began)
    finally:
        asking.kill()
        asking.join()


def _ask(agents: list[Agent], url: str, a_second: float, got: Synchronized[int]) -> None:
    threads = [
        threading.Thread(target=_keep_asking, args=(agents[number::THREADS], url, a_second / THREADS, got))
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _keep_asking(agents: list[Agent], url: str, a_second: float, got: Synchronized[int]) -> None:
    asked, began = 0, time.monotonic()
    while True:
        try:
            agents[asked % len(agents)].token(url)
        except AuthSecError:
            pass  # no server is there at the moment: what is asked next counts
        else:
            with got.get_lock():
                got.value += 1
        asked += 1
        time.sleep(max(0.0, began + asked / a_second - time.monotonic()))
