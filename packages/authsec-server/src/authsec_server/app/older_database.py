"""Detect a database that is older than its outside checkpoints, and report it.

After an operator has recorded the restore, the server serves the database again.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

import anyio
import structlog

from authsec_server.app.services import Services
from authsec_server.audit.sealing.outside import Comparison
from authsec_server.failures import Unavailable
from authsec_server.keys.api import METADATA_ADDRESSES
from authsec_server.web import health
from authsec_server.web.middleware import OLDER_REMEDY
from authsec_server.web.operations import API

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 5.0
LOOK_AGAIN_SECONDS: Final = 2.0  # while the server refuses requests
_PROBES: Final = frozenset({health.LIVE, health.READY})


def compare(comparison: Comparison) -> None:
    """Compare the database with its outside checkpoints and log the difference. Raises `Unavailable`."""
    _tell(comparison, comparison.compare())
    if comparison.not_compared:
        log.warning("the database was not compared with its outside checkpoints", why=comparison.not_compared)


def _tell(comparison: Comparison, problem: str | None) -> None:
    """Set the problem of the comparison; None clears it. Log each new problem once."""
    before, comparison.problem = comparison.problem, problem
    if problem and problem != before:
        log.error("the server issues no tokens and changes nothing", why=problem, remedy=OLDER_REMEDY)


def watch(services: Services, maintain: Callable[[], None]) -> Callable[[], Coroutine[Any, Any, None]]:
    """Return a coroutine function that checks every few seconds whether the database is too old.

    After a restore was recorded, the function lets the server serve the database again.
    """

    def look() -> None:
        if not services.comparison.problem and not services.comparison.has_gone_back():
            return
        services.comparison.read_file()
        if problem := services.comparison.compare():
            _tell(services.comparison, problem)
            return
        services.comparison.reset()
        services.sealer.reset()
        maintain()
        services.database.begin_serving()
        services.probe.attempt()  # otherwise `/readyz` would first report that no probe has succeeded
        services.comparison.problem = None  # last: from now on, the server answers requests
        log.warning("the restored database is served")

    async def run() -> None:
        while True:
            await anyio.sleep(LOOK_AGAIN_SECONDS if services.comparison.problem else LOOK_SECONDS)
            try:
                await anyio.to_thread.run_sync(look)
            except Unavailable:
                log.debug("the comparison with outside checkpoints is waiting for the database")
            except Exception as error:  # noqa: BLE001 - the next check must follow any error
                log.error("the comparison with outside checkpoints failed", error=type(error).__name__)

    return run


def may_be_read(method: str, path: str) -> bool:
    """Whether the server answers this request while the database is older than its outside checkpoints.

    The server answers health probes, requests for the console, and admin API requests that only read. The
    server does not serve:

    - the key set, because it may list a key that was revoked later;
    - introspection, because it would report revoked tokens as active.

    The server still serves the metadata documents, because they do not depend on the database. A client without
    the metadata may send its secret to an API.
    """
    if path in _PROBES or path in METADATA_ADDRESSES or path == "/console" or path.startswith("/console/"):
        return True  # the console itself refuses forms with an error page
    return method in {"GET", "HEAD"} and path.startswith(f"{API}/")
