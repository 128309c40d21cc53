"""The client of the admin API for commands. The command line can do only what the admin API allows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click
from authsec.terminal import command_line

from authsec_server.cli.needed_role import create_key_command
from authsec_server.cli.output import open_output
from authsec_server.cli.remote import Remote
from authsec_server.cli.transport import CallFailed, Transport, result
from authsec_server.web.etags import etag_of

_NAME_ITS_DATA: Final = (
    "Which authority?\n\n"
    "On the server's machine, name the server's data:  --data DIR  (or --database URL).\n"
    "`authsec serve` prints the location when it starts."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A client of the admin API. Paths are relative to the API's root.

    The methods for HTTP requests return the JSON of the response and raise `CallFailed`. With `is_dry_run`, a
    change becomes a dry run: the method changes nothing and raises `DryRunDone`.
    """

    reach: Transport
    where: tuple[str, ...] = ()
    is_dry_run: bool = False

    def follow_up(self, *words: str) -> str:
        """Build another `authsec` command for the same authority from `words`, as a line to paste."""
        return command_line(*words, *self.where)

    @property
    def address(self) -> str:
        """Return the root URL of the authority for agents and APIs. Raises `CallFailed`.

        Clients of the authority set this URL as `AUTHSEC_BASE_URL`.
        """
        return self.reach.address()

    @property
    def console_address(self) -> str:
        """Return the root URL of the console and of the admin API. Raises `CallFailed`."""
        return self.reach.console_address()

    @contextmanager
    def session(self) -> Iterator[Caller]:
        """Yield a caller for many calls. An authority in this process is opened only once. Raises `CallFailed`."""
        with self.reach.session() as opened:
            yield replace(self, reach=opened)

    def get(self, path: str, **query: Any) -> Any:
        """Send GET `path`, without the query parameters that are None."""
        given = {name: value for name, value in query.items() if value is not None}
        return result(self.reach.send("GET", path, {"params": given}))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send POST `path` with the body."""
        return self._change("POST", path, {"json": dict(body or {})})

    def patch(self, path: str, body: Mapping[str, Any], *, read: Mapping[str, Any]) -> Any:
        """Send PATCH `path` with the changed fields.

        `read` is the entity as the command read it before. The ETag of `read` goes into `If-Match`, so the request
        does not overwrite a newer change by somebody else.
        """
        return self._change("PATCH", path, {"json": dict(body), "headers": {"If-Match": etag_of(read)}})

    def delete(self, path: str) -> Any:
        """Send DELETE `path`."""
        return self._change("DELETE", path, {})

    def _change(self, method: str, path: str, content: Mapping[str, Any]) -> Any:
        if not self.is_dry_run:
            return result(self.reach.send(method, path, content))
        raise DryRunDone(result(self.reach.send(method, dry_run(path), content)))


class DryRunDone(Exception):
    """The exception that ends a command with `--dry-run` before the change. `planned` is the answer to the dry run."""

    def __init__(self, planned: Mapping[str, Any]) -> None:
        super().__init__()
        self.planned = planned


def dry_run(path: str) -> str:
    """Add the dry-run parameter to the path."""
    asked = "dry_run=1"
    return path if path.endswith(asked) else f"{path}{'&' if '?' in path else '?'}{asked}"


def path(*parts: str) -> str:
    """Join the parts to a path. Raises `UsageError` for a part that is empty, `.`, `..` or has a slash.

    A typed name such as `../keys/rotate` would otherwise call another operation of the API.
    """
    for part in parts:
        if part in {"", ".", ".."} or "/" in part:
            raise click.UsageError(f"{part!r} is neither an id nor a slug.")
    return "/".join(quote(part, safe="") for part in parts)


def admin_command(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--data`, `--database` and `--json` to a command, and pass a `Caller` and an `Output` as first arguments."""
    return _with_caller(command, _reach)


def local_command(command: Callable[..., None]) -> Callable[..., None]:
    """Make an `admin_command` that works only on the server's machine, for the local operator, without an admin key."""
    return _with_caller(command, _reach_here)


def _with_caller(
    command: Callable[..., None], reach: Callable[[Path | None, str | None], Transport]
) -> Callable[..., None]:
    @click.option(
        "--data", type=click.Path(path_type=Path), help="The server's data folder, for use on the server's machine."
    )
    @click.option("--database", help="The server's database, postgresql://…, for use on the server's machine.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
    @wraps(command)
    def run(data: Path | None, database: str | None, as_json: bool, **options: Any) -> None:
        caller, output = Caller(reach=reach(data, database), where=_where(data, database)), open_output(as_json=as_json)
        try:
            command(caller, output, **options)
        except (KeyError, TypeError, IndexError, AttributeError) as error:  # the answer lacks a member
            raise CallFailed(
                "This version of authsec does not understand the authority's answer.",
                "Use the same version as the authority.",
            ) from error

    return run


def _reach(data: Path | None, database: str | None) -> Transport:
    """Choose the authority: the options first, then the admin key, then the data folder in the settings."""
    key = _environment("AUTHSEC_ADMIN_KEY")
    if key and not (data or database):
        return Remote(
            base_url=_environment("AUTHSEC_BASE_URL"),
            admin_key=key,
            ca_file=_environment("AUTHSEC_CA_FILE") or None,
            allow_http_hosts=tuple(_environment("AUTHSEC_ALLOW_HTTP_HOSTS").replace(",", " ").split()),
        )
    here = _here(data, database)
    if here is None:
        missing = "AUTHSEC_BASE_URL is set, but AUTHSEC_ADMIN_KEY is not.\n" if _environment("AUTHSEC_BASE_URL") else ""
        raise click.UsageError(
            f"{_NAME_ITS_DATA}\n{missing}From another machine, set AUTHSEC_BASE_URL and AUTHSEC_ADMIN_KEY. To "
            f"create a key on the server's machine:\n`{create_key_command()}`."
        )
    return here


def follow_up_here(*words: str) -> str:
    """Build another `authsec` command for the authority that the options of the running command name."""
    context = click.get_current_context(silent=True)
    given = context.params if context else {}
    return command_line(*words, *_where(given.get("data"), given.get("database")))


def _reach_here(data: Path | None, database: str | None) -> Transport:
    here = _here(data, database)
    if here is None:
        raise click.UsageError(f"{_NAME_ITS_DATA}\nThis command works only on that machine.")
    return here


def _here(data: Path | None, database: str | None) -> Transport | None:
    """Return the authority whose data is in this folder or database; None if no data is named or found.

    Raises `CallFailed`.
    """
    from authsec_server.cli.local import authority_here  # imported here, because it imports the whole server

    return authority_here(data, database)


def _where(data: Path | None, database: str | None) -> tuple[str, ...]:
    """Return the options that name the folder or the database, without passwords.

    The options were validated before.
    """
    named = ("--data", str(data)) if data else ()
    if not database:
        return named
    from authsec_server.console.server_command import shareable  # imported here, because it imports SQLAlchemy

    return (*named, "--database", shareable(database))


def _environment(name: str) -> str:
    return os.environ.get(name, "").strip()
