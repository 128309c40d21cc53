"""One call of the admin API for one command: the command line can do nothing that the API does not allow."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click
from authsec.terminal import command_line

from authsec_server.cli.output import open_output
from authsec_server.cli.remote import Remote
from authsec_server.cli.transport import CallFailed, Transport, result
from authsec_server.web.etags import etag_of

_NAME_ITS_DATA: Final = (
    "Which authority?\n\n"
    "On the server's machine, name its data:  --data DIR  (or --database URL).\n"
    "`authsec serve` says where it is when it starts."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Makes calls of the admin API. Paths are below its root; all verbs return the JSON and raise `CallFailed`.

    One that `rehearses` changes nothing: where it would, it raises `Rehearsed`.
    """

    reach: Transport
    where: tuple[str, ...] = ()
    rehearses: bool = False

    def follow_up(self, *words: str) -> str:
        """The line, to be pasted, of another command about the same authority."""
        return command_line(*words, *self.where)

    @property
    def address(self) -> str:
        """The root of the authority: `AUTHSEC_BASE_URL` of whoever calls it. Raises `CallFailed`."""
        return self.reach.address()

    def get(self, path: str, **query: Any) -> Any:
        """GET `path`; a query parameter of None is left out."""
        given = {name: value for name, value in query.items() if value is not None}
        return result(self.reach.send("GET", path, {"params": given}))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """POST `body` to `path`."""
        return self._change("POST", path, {"json": dict(body or {})})

    def patch(self, path: str, body: Mapping[str, Any], *, read: Mapping[str, Any]) -> Any:
        """PATCH `path` with what is to change in what the editor had read there."""
        return self._change("PATCH", path, {"json": dict(body), "headers": {"If-Match": etag_of(read)}})

    def delete(self, path: str) -> Any:
        """DELETE `path`."""
        return self._change("DELETE", path, {})

    def _change(self, method: str, path: str, content: Mapping[str, Any]) -> Any:
        if not self.rehearses:
            return result(self.reach.send(method, path, content))
        raise Rehearsed(result(self.reach.send(method, dry_run(path), content)))


class Rehearsed(Exception):
    """Ends a command with `--dry-run` where it would have made its change; `told` is what that would bring about."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        super().__init__()
        self.told = told


def dry_run(path: str) -> str:
    """The path that has a change rehearsed."""
    asked = "dry_run=1"
    return path if path.endswith(asked) else f"{path}{'&' if '?' in path else '?'}{asked}"


def path(*parts: str) -> str:
    """The path of these parts, of which some were typed: `../keys/rotate` names no client, it is refused."""
    for part in parts:
        if part in {"", ".", ".."} or "/" in part:
            raise click.UsageError(f"{part!r} is neither an id nor a slug.")
    return "/".join(quote(part, safe="") for part in parts)


def admin_command(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command `--data`, `--database` and `--json`, and calls it with a `Caller` and an `Output` first."""
    return _with_caller(command, _reach)


def local_command(command: Callable[..., None]) -> Callable[..., None]:
    """An `admin_command` that only the operator at the server's machine may give: no admin key is used for it."""
    return _with_caller(command, _reach_here)


def _with_caller(
    command: Callable[..., None], reach: Callable[[Path | None, str | None], Transport]
) -> Callable[..., None]:
    @click.option("--data", type=click.Path(path_type=Path), help="On the server's machine: its data folder.")
    @click.option("--database", help="On the server's machine: its database, postgresql://…")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
    @wraps(command)
    def run(data: Path | None, database: str | None, as_json: bool, **options: Any) -> None:
        caller, output = Caller(reach=reach(data, database), where=_where(data, database)), open_output(as_json=as_json)
        try:
            command(caller, output, **options)
        except (KeyError, TypeError, IndexError, AttributeError) as error:  # members that it lacks
            raise CallFailed(
                "What the authority answered is not what this version of authsec understands.",
                "Use the version that the authority has.",
            ) from error

    return run


def _reach(data: Path | None, database: str | None) -> Transport:
    """What is named on the command line counts first, then an admin key, then the data folder of this place."""
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
        missing = "AUTHSEC_BASE_URL is set, and AUTHSEC_ADMIN_KEY is not.\n" if _environment("AUTHSEC_BASE_URL") else ""
        raise click.UsageError(
            f"{_NAME_ITS_DATA}\n{missing}"
            "From elsewhere, set AUTHSEC_BASE_URL and AUTHSEC_ADMIN_KEY; a key is made there with\n"
            "`authsec admin create-key NAME --role operator --expires 30d`."
        )
    return here


def _reach_here(data: Path | None, database: str | None) -> Transport:
    here = _here(data, database)
    if here is None:
        raise click.UsageError(f"{_NAME_ITS_DATA}\nThis command works there only.")
    return here


def _here(data: Path | None, database: str | None) -> Transport | None:
    """The authority with this data; None where nothing says which. Raises `CallFailed`."""
    from authsec_server.cli.local import authority_here  # only here: the whole server comes with it

    return authority_here(data, database)


def _where(data: Path | None, database: str | None) -> tuple[str, ...]:
    """What was named on the command line, as it may be shown. It has been understood already."""
    named = ("--data", str(data)) if data else ()
    if not database:
        return named
    from authsec_server.cli.database_urls import shareable  # it is SQLAlchemy that knows them

    return (*named, "--database", shareable(database))


def _environment(name: str) -> str:
    return os.environ.get(name, "").strip()
