"""Compare documents one at a time. The comparison is CPU work, and the same processor issues tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread

from authsec_server.db import Tx
from authsec_server.failures import Unavailable
from authsec_server.principal import Act
from authsec_server.web.operations import Call

T = TypeVar("T")

MOST_OF_ONE: Final = 3
"""The limit of running and waiting requests of one principal. More requests would take threads that token requests
need."""


class OneByOne:
    """A queue that runs reads one at a time, in a separate thread.

    One principal has at most `MOST_OF_ONE` reads that run or wait, so reads of other principals come in between.
    """

    def __init__(self) -> None:
        self._thread = anyio.CapacityLimiter(1)
        self._under_way: Counter[tuple[str, str]] = Counter()

    async def read(self, call: Call[Any], work: Callable[[Tx, Act], T]) -> T:
        """Wait until no other read runs, then run `work` on one snapshot.

        Raises `Unavailable` if `MOST_OF_ONE` reads of the same principal already run or wait.
        """
        who = (str(call.act.principal.kind), call.act.principal.id)
        if self._under_way[who] >= MOST_OF_ONE:
            raise Unavailable(
                f"{MOST_OF_ONE} of your documents are being compared, which is the limit.",
                "Retry when they are finished.",
            )
        self._under_way[who] += 1
        try:
            return await anyio.to_thread.run_sync(
                lambda: call.site.database.read(lambda tx: work(tx, call.act)), limiter=self._thread
            )
        finally:
            self._under_way -= Counter([who])
