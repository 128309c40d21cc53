"""How a command reaches the authority: over HTTPS with an admin key, or in process on the server's own machine.

Either way it is one call of the admin API, so that the command line can do nothing that the API does not allow.
"""

from __future__ import annotations

import logging
import os
import ssl
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import click
import httpx2
import structlog
from rich.console import Console

from authsec_server.app import open_authority
from authsec_server.cli.output import Output, say_failed
from authsec_server.failures import Failure
from authsec_server.settings import Settings, is_loopback, load_settings

API = "/authsec/api/v1/"
TIMEOUT_SECONDS = 30


class CallFailed(Exception):
    """The call was refused, or could not be made; the texts are for the person at the terminal."""

    def __init__(self, message: str, remedy: str = "", request_id: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.request_id = request_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Makes calls of the admin API. `settings` is None for an authority elsewhere."""

    settings: Settings | None

    def get(self, path: str, **query: Any) -> Any:
        """The JSON that a GET of `path` (below the API's root) answers. Raises `CallFailed`."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._call("GET", path, params=given)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON that a POST answers. Raises `CallFailed`."""
        return self._call("POST", path, json=dict(body or {}))

    def _call(self, method: str, path: str, **content: Any) -> Any:
        try:
            answer = (
                _call_elsewhere(method, path, content)
                if self.settings is None
                else _call_here(self.settings, method, path, content)
            )
        except Failure as failure:
            raise CallFailed(failure.message, failure.remedy) from None
        except httpx2.HTTPError as error:
            raise CallFailed(
                f"The authority cannot be reached ({type(error).__name__}).", "Is AUTHSEC_BASE_URL right, and is it up?"
            ) from None
        return _result(answer)


def admin_command(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command `--data`, `--database` and `--json`, and calls it with a `Caller` and an `Output` first."""

    @click.option("--data", type=click.Path(path_type=Path), help="On the server's machine: its data folder.")
    @click.option("--database", help="On the server's machine: its database, postgresql://…")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
    @wraps(command)
    def run(data: Path | None, database: str | None, as_json: bool, **options: Any) -> None:
        try:
            command(_caller(data, database), Output(Console(), as_json=as_json), **options)
        except CallFailed as failed:
            say_failed(failed.message, failed.remedy, failed.request_id)
            sys.exit(1)

    return run


def _caller(data: Path | None, database: str | None) -> Caller:
    """What is named on the command line counts first, then an admin key, then the data folder of this place."""
    if not (data or database) and os.environ.get("AUTHSEC_ADMIN_KEY"):
        return Caller(settings=None)
    try:
        settings = load_settings(data=data, database=database)
    except Failure as failure:
        raise CallFailed(failure.message, failure.remedy) from None
    if not settings.database and not (settings.data / "authsec.sqlite3").exists():
        if data:
            raise CallFailed(f"There is no AuthSec data in {data}.", f"Start it first: authsec serve --data {data}")
        raise CallFailed(
            "Which authority is meant?",
            "On the server's machine: --data DIR (or --database URL). From elsewhere: set AUTHSEC_BASE_URL and"
            " AUTHSEC_ADMIN_KEY (made with `authsec admin create-key NAME`).",
        )
    return Caller(settings=settings)


def _call_here(settings: Settings, method: str, path: str, content: Mapping[str, Any]) -> httpx2.Response:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )

    async def call() -> httpx2.Response:
        with open_authority(settings, local_operator=True) as authority:
            transport = httpx2.ASGITransport(app=authority.app, client=("127.0.0.1", 0))
            async with httpx2.AsyncClient(transport=transport, base_url=settings.issuer) as client:
                return await client.request(method, API + path, **content)

    return anyio.run(call)


def _call_elsewhere(method: str, path: str, content: Mapping[str, Any]) -> httpx2.Response:
    base = os.environ.get("AUTHSEC_BASE_URL", "").rstrip("/")
    parts = urlsplit(base)
    if not parts.scheme or not parts.hostname:
        raise CallFailed("AUTHSEC_ADMIN_KEY is set, but not where.", "Set AUTHSEC_BASE_URL=https://authsec.example.com")
    plain_allowed = os.environ.get("AUTHSEC_ALLOW_HTTP_HOSTS", "").replace(",", " ").split()
    if parts.scheme != "https" and not is_loopback(parts.hostname) and parts.hostname not in plain_allowed:
        raise CallFailed(f"{base} would carry the admin key unencrypted.", "Use https.")
    headers = {"Authorization": f"Bearer {os.environ['AUTHSEC_ADMIN_KEY'].strip()}"}
    with httpx2.Client(
        timeout=TIMEOUT_SECONDS,
        verify=ssl.create_default_context(cafile=os.environ.get("AUTHSEC_CA_FILE") or None),
        trust_env=not is_loopback(parts.hostname),  # a proxy for the world is none for this machine
        follow_redirects=False,  # the key is for this address only
    ) as client:
        return client.request(method, base + API + path, headers=headers, **content)


def _result(answer: httpx2.Response) -> Any:
    try:
        body = answer.json()
    except ValueError:
        raise CallFailed(
            f"Something answered with HTTP {answer.status_code}, but not as AuthSec does.", "Is AUTHSEC_BASE_URL right?"
        ) from None
    if answer.is_success:
        return body
    if not isinstance(body, dict):
        raise CallFailed(f"The authority answered HTTP {answer.status_code}.")
    raise CallFailed(
        str(body.get("error", f"HTTP {answer.status_code}")),
        str(body.get("details", "")),
        str(body.get("request_id", "")),
    )
