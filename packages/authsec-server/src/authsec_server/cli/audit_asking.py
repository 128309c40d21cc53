"""Which events are asked for: the options that `list` and `export` share, and what the API is asked by them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from authsec_server.cli.caller import Caller
from authsec_server.cli.units import DURATION

Command = TypeVar("Command", bound=Callable[..., Any])
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PAGE = 200


class Moment(click.ParamType[str]):
    """A point in time: RFC 3339, a day (its beginning, UTC), or how long ago."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if _DATE.fullmatch(text):
            return f"{text}T00:00:00Z"
        try:
            if datetime.fromisoformat(text.upper()).tzinfo is not None:
                return text
        except ValueError:
            pass  # it is no point in time, and may be a duration
        try:
            ago = timedelta(seconds=DURATION.convert(text, param, ctx))
            return (datetime.now(UTC) - ago).strftime("%Y-%m-%dT%H:%M:%SZ")
        except (click.UsageError, OverflowError):
            self.fail(f"{text!r} is no time; write 2026-11-25T08:00:00Z, 2026-11-25, or 2h for two hours ago.")


_OPTIONS = (
    click.option("--agent", "--client", "client", help="Only what is about this agent: its slug or client_id."),
    click.option("--delegation", help="Only what is about this delegation: its slug or id."),
    click.option("--by", help="Only what this person did: an administrator's email, an admin key's name, or an id."),
    click.option(
        "--kind",
        multiple=True,
        help="Only this kind, e.g. token.refused; `client.` for all of them. Repeat. docs/audit.md lists them.",
    ),
    click.option("--decision", type=click.Choice(["granted", "denied"]), help="Only what ended so."),
    click.option("--reason", help="Only what was refused for this reason, e.g. attestation_required."),
    click.option("--address", help="Only what came from this address."),
    click.option("--request-id", help="Only what happened in this request."),
    click.option("--jti", help="Only what is about this token."),
    click.option("--since", type=Moment(), help="Not before: 2026-11-25T08:00:00Z, 2026-11-25, or 2h ago."),
    click.option("--until", type=Moment(), help="Only before that time."),
)


def asking_options(command: Command) -> Command:
    """Gives a command the filters of the journal, all of them; its `wanted` are query parameters of the API."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def query_of(wanted: dict[str, Any]) -> dict[str, str]:
    """The options as query parameters; those that are not given are left out."""
    kinds = ",".join(wanted.get("kind") or ())
    return {name: value for name, value in {**wanted, "kind": kinds}.items() if value}


def everything(caller: Caller, query: dict[str, str]) -> Iterator[dict[str, Any]]:
    """All that meets it by now, oldest first, page by page; what happens meanwhile is not in it."""
    newest = caller.get("events", limit=1)["items"]
    top = newest[0]["id"] if newest else 0
    cursor: str | None = None
    while True:
        page = caller.get("events", order="oldest", limit=_PAGE, cursor=cursor, **query)
        yield from (each for each in page["items"] if each["id"] <= top)
        cursor = page["next"]
        if cursor is None or int(cursor) >= top:
            return
