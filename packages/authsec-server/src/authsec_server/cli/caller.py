"""One call of the admin API for one command: the command line can do nothing that the API does not allow."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import httpx2

from authsec_server.cli.output import open_output
from authsec_server.cli.reach import CallFailed, InProcess, Reach, Remote
from authsec_server.failures import Failure
from authsec_server.settings import ENV_PREFIX, Settings, load_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Makes calls of the admin API. Paths are below its root; both verbs return the JSON and raise `CallFailed`."""

    reach: Reach

    def get(self, path: str, **query: Any) -> Any:
        """GET `path`; a query parameter of None is left out."""
        given = {name: value for name, value in query.items() if value is not None}
        return _result(self.reach.send("GET", path, {"params": given}))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """POST `body` to `path`."""
        return _result(self.reach.send("POST", path, {"json": dict(body or {})}))


def path(*parts: str) -> str:
    """The path of these parts, of which some were typed: `../keys/rotate` names no client, it is refused."""
    for part in parts:
        if part in {"", ".", ".."} or "/" in part:
            raise click.UsageError(f"{part!r} is neither an id nor a slug.")
    return "/".join(quote(part, safe="") for part in parts)


def admin_command(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command `--data`, `--database` and `--json`, and calls it with a `Caller` and an `Output` first."""

    @click.option("--data", type=click.Path(path_type=Path), help="On the server's machine: its data folder.")
    @click.option("--database", help="On the server's machine: its database, postgresql://…")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
    @wraps(command)
    def run(data: Path | None, database: str | None, as_json: bool, **options: Any) -> None:
        caller, output = Caller(reach=_reach(data, database)), open_output(as_json=as_json)
        try:
            command(caller, output, **options)
        except (KeyError, TypeError, IndexError, AttributeError) as error:  # members that it lacks
            raise CallFailed(
                "What the authority answered is not what this version of authsec understands.",
                "Use the version that the authority has.",
            ) from error

    return run


def _reach(data: Path | None, database: str | None) -> Reach:
    """What is named on the command line counts first, then an admin key, then the data folder of this place."""
    key = _environment("AUTHSEC_ADMIN_KEY")
    if key and not (data or database):
        return Remote(
            base_url=_environment("AUTHSEC_BASE_URL"),
            admin_key=key,
            ca_file=_environment("AUTHSEC_CA_FILE") or None,
            allow_http_hosts=tuple(_environment("AUTHSEC_ALLOW_HTTP_HOSTS").replace(",", " ").split()),
        )
    try:
        settings = load_settings(data=data, database=database)
    except Failure as failure:
        raise CallFailed(failure.message, failure.remedy) from None
    _refuse_without_data(settings, named=bool(data or os.environ.get(f"{ENV_PREFIX}DATA")))
    return InProcess(settings=settings)


def _refuse_without_data(settings: Settings, *, named: bool) -> None:
    """Only `authsec serve` begins an authority: a command with a mistyped folder must not."""
    if settings.database or settings.database_file.exists():
        return
    if named:
        raise CallFailed(
            f"There is no AuthSec data in {settings.data}.", f"Start it with: authsec serve --data {settings.data}"
        )
    raise click.UsageError(
        "Which authority?\n\n"
        "On the server's machine, name its data:  --data DIR  (or --database URL).\n"
        "From elsewhere, set AUTHSEC_BASE_URL and AUTHSEC_ADMIN_KEY; a key is made there with\n"
        "`authsec admin create-key NAME`."
    )


def _environment(name: str) -> str:
    return os.environ.get(name, "").strip()


def _result(answer: httpx2.Response) -> Any:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or answer.is_redirect:
        raise CallFailed(
            f"HTTP {answer.status_code} came back, but not from an AuthSec authority.", "Is AUTHSEC_BASE_URL right?"
        )
    if not answer.is_success:
        message = str(body.get("error") or f"The authority answered HTTP {answer.status_code}.")
        raise CallFailed(message, str(body.get("details") or ""), str(body.get("request_id") or ""))
    return body
