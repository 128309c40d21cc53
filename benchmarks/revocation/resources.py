"""All verifiers together: who says what about which token, since when; and the rule that no refusal is taken back."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection, wait

from verifiers import Side, Turn, run

ACCEPTED, REVOKED, CLOSED = "accepted", "token_revoked", "revocations_unavailable"


class RuleBroken(Exception):
    """What must hold whatever happens does not."""


class Resources:
    """The verifiers of several processes. Each is a pair: which process, which of its verifiers."""

    def __init__(self, pipes: list[Connection], numbers: list[int]) -> None:
        self._pipes = pipes
        self._tokens = 0
        self.verifiers = [(process, number) for process, many in enumerate(numbers) for number in range(many)]
        self.says: dict[tuple[tuple[int, int], int], tuple[str, float]] = {}
        self.laps: list[float] = []

    def take(self, bearer: str) -> int:
        """Have everybody asked about this token from now on: its number. Returns when all have accepted it."""
        token, self._tokens = self._tokens, self._tokens + 1
        self._order("take", (token, bearer))
        self.until(token, ACCEPTED, patience=30)
        return token

    def begin(self) -> None:
        """What comes now counts: the first tokens, which wait for keys and feed, do not."""
        self._order("begin", None)

    def retire(self, token: int) -> None:
        """It was refused: ask about it now and then only."""
        self._order("retire", token)

    def until(self, token: int, says: str, *, patience: float) -> list[float]:
        """When each verifier began to say this of the token. Raises `RuleBroken` if one never does."""
        deadline = time.monotonic() + patience
        while not self.all_say(token, says):
            if time.monotonic() > deadline:
                number = sum(self.says.get((each, token), ("", 0))[0] != says for each in self.verifiers)
                raise RuleBroken(f"{number} verifiers do not say {says} of a token after {patience:g} seconds")
            self.listen(0.5)
        return [self.says[each, token][1] for each in self.verifiers]

    def all_say(self, token: int, says: str) -> bool:
        """Whether every verifier says this of the token."""
        return all(self.says.get((each, token), ("", 0))[0] == says for each in self.verifiers)

    def listen(self, seconds: float) -> None:
        """Take in what was told, or wait so long for something."""
        ready = wait(self._pipes, seconds)
        for process, pipe in enumerate(self._pipes):
            if pipe in ready:
                self._take_in(process, pipe.recv())

    def sweep(self) -> None:
        """Ask everybody about every token there ever was: none that was refused is accepted again."""
        self._order("sweep", None)
        for process, pipe in enumerate(self._pipes):
            while (told := pipe.recv()) != "swept":
                self._take_in(process, told)

    def end(self) -> None:
        """End them, and keep how long their laps took."""
        self._order("end", None)
        for pipe in self._pipes:
            while isinstance(told := pipe.recv(), list) and told and isinstance(told[0], Turn):
                pass
            self.laps += told

    def _order(self, word: str, what: object) -> None:
        for pipe in self._pipes:
            pipe.send((word, what))

    def _take_in(self, process: int, turns: list[Turn]) -> None:
        for turn in turns:
            key = ((process, turn.verifier), turn.token)
            before = self.says.get(key, ("", 0.0))[0]
            if turn.says not in {ACCEPTED, REVOKED, CLOSED}:
                raise RuleBroken(f"a verifier says {turn.says} of a token that is good")
            if REVOKED in before and turn.says == ACCEPTED:
                raise RuleBroken("a verifier accepts a token that it had refused as revoked")
            # Closed is no news about the token itself: what it was refused for before still binds.
            kept = f"{REVOKED}, closed" if REVOKED in before and turn.says == CLOSED else turn.says
            self.says[key] = (kept, turn.at)


@contextmanager
def resources(side: Side, processes: int) -> Iterator[Resources]:
    """Start them: `side.verifiers` in all, in so many processes."""
    context = multiprocessing.get_context("spawn")
    ends = [context.Pipe() for _ in range(processes)]
    numbers = [len(range(process, side.verifiers, processes)) for process in range(processes)]
    running = [
        context.Process(target=run, args=(its, replace(side, verifiers=many)), daemon=True)
        for (_, its), many in zip(ends, numbers, strict=True)
    ]
    for process in running:
        process.start()
    try:
        yield (opened := Resources([ours for ours, _ in ends], numbers))
        opened.end()
    finally:
        for process in running:
            process.join(5)
            process.kill()
