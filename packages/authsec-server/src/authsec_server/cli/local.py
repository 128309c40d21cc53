"""The transport on the server's machine: open the authority in this process, as the local operator."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import anyio
import httpx2
import structlog
from authsec.exit_status import Exit

from authsec_server.app import Authority, Runtime, as_served, open_authority
from authsec_server.cli.greeting import listens
from authsec_server.cli.transport import API, CallFailed
from authsec_server.db import open_database
from authsec_server.failures import Conflict, Failure, Unavailable
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.settings import ENV_PREFIX, Settings, load_settings


def failed(failure: Failure) -> CallFailed:
    """Convert a failure of the server to a `CallFailed` with the matching exit status."""
    status = Exit.CONFLICT if isinstance(failure, Conflict) else Exit.FAILED
    if isinstance(failure, Unavailable):
        status = Exit.UNREACHABLE
    return CallFailed(failure.message, failure.remedy, exit_code=status)


def authority_here(data: Path | None, database: str | None) -> InProcess | None:
    """Return the authority whose data is in this folder or database; None if no data is named or found.

    Raises `CallFailed`.
    """
    if data and database is None:
        database = ""  # --data overrides a database in the environment
    try:
        settings = load_settings(data=data, database=database)
    except Failure as failure:
        raise failed(failure) from None
    if settings.database or settings.database_file.exists():
        return InProcess(settings=settings)
    if data or os.environ.get(f"{ENV_PREFIX}DATA"):  # create nothing in a mistyped folder
        raise _no_data(settings.data)
    return None


def _no_data(folder: Path) -> CallFailed:
    """Build the error for a folder without a database.

    The usual cause is a mistyped path. The remedy does not suggest `authsec serve`, because that command would
    create a second authority in the mistyped folder.
    """
    if folder.is_file():
        return CallFailed(
            f"{folder} is a file.", "--data names a folder. For a database file: --database sqlite:///PATH."
        )
    lacking = f"{folder} has no AuthSec database" if folder.exists() else f"There is no folder {folder}"
    return CallFailed(f"{lacking}.", "Check the path: `authsec serve` prints its data folder when it starts.")


@dataclass(frozen=True, slots=True, kw_only=True)
class InProcess:
    """An authority that is opened in this process for each call. A server may run on the same data at the same time."""

    settings: Settings

    def send(self, method: str, path: str, content: Mapping[str, Any]) -> httpx2.Response:
        with self.session() as opened:
            return opened.send(method, path, content)

    @contextmanager
    def session(self) -> Iterator[Opened]:
        """Open the authority for many calls. Raises `CallFailed`.

        Opening the authority takes longer than most calls.
        """
        try:
            with errors_only(), open_authority(self.settings, local_operator=True, pages=False) as authority:
                yield Opened(authority=authority, whole=self)
        except Failure as failure:
            raise failed(failure) from None

    def address(self) -> str:
        try:
            with closing(open_database(self.settings.database_url)) as database:
                return as_served(self.settings, database).issuer
        except Failure as failure:
            raise failed(failure) from None

    def console_address(self) -> str:
        return self.settings.console_url or self.address()

    def silent_address(self) -> str:
        try:
            address = self.address()
        except CallFailed:  # nothing proves the address
            return ""
        return address if listens(address) is False else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An opened authority in this process."""

    authority: Authority
    whole: InProcess

    def send(self, method: str, path: str, content: Mapping[str, Any]) -> httpx2.Response:
        # An internal error becomes a response, as over the network. The caller has no address.
        transport = httpx2.ASGITransport(self.authority.app, raise_app_exceptions=False, client=("", 0))

        async def call() -> httpx2.Response:
            async with httpx2.AsyncClient(transport=transport, base_url=self.authority.issuer) as client:
                return await client.request(method, API + path, **content)

        return anyio.run(call)

    @contextmanager
    def session(self) -> Iterator[Opened]:
        """Yield this object, because the authority is open already."""
        yield self

    def refuse_if_older(self) -> None:
        """Raise `CallFailed` while the database is older than the checkpoints that are stored outside it."""
        if older := self.authority.comparison.problem:
            raise CallFailed(older, "An older database accepts no changes: see docs/backup.md.")

    def act(self) -> Act:
        """Return the context (`Act`) of a change by the local operator, for changes without an API call."""
        around = Runtime()
        return Act(
            principal=LOCAL_OPERATOR, now=around.now(), request_id="", address="", token_bytes=around.token_bytes
        )

    def address(self) -> str:
        return self.whole.address()

    def console_address(self) -> str:
        return self.whole.console_address()

    def silent_address(self) -> str:
        return self.whole.silent_address()


@contextmanager
def errors_only() -> Iterator[None]:
    """Limit the in-process log to errors: one line on stderr for each, and nothing on stdout."""
    before: dict[str, Any] = structlog.get_config()
    structlog.configure(
        processors=[_drop_answered, _one_line],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def _drop_answered(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop the lines of a refusal without an exception: the command's own error message reports the refusal."""
    if event["event"] == "request" or (event["event"] == "unavailable" and event.get("cause") == repr(None)):
        raise structlog.DropEvent
    return event


def _one_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """Render the log event and its fields on one line, without a traceback.

    A traceback belongs in a server's log. A person at a terminal does not need a traceback.
    """
    told = {name: value for name, value in event.items() if name not in {"event", "exc_info", "where"}}
    plain = {name: str(value) if isinstance(value, StrEnum) else value for name, value in told.items()}
    return " ".join(["log:", str(event["event"]), *(f"{name}={value!r}" for name, value in plain.items())])
