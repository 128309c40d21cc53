"""The steps around commands that change something: show the impact, ask for confirmation, support `--dry-run`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any

import click
from rich.text import Text

from authsec_server.cli.caller import Caller, DryRunDone, admin_command, dry_run, local_command
from authsec_server.cli.output import Output, cell, harmless, styled, warned
from authsec_server.cli.params import as_typed, given
from authsec_server.cli.transport import CallFailed
from authsec_server.console.formatting import shortened_note
from authsec_server.console.impact_text import accepted_until, summary

yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
reason_option = click.option("--reason", default="", help="The reason, for the audit log.")


Send = Callable[[str, Mapping[str, Any] | None], Any]
"""A function that sends a body to a path. The default sends a POST."""


def dry_run_of(
    caller: Caller, path: str, body: Mapping[str, Any] | None = None, *, send: Send | None = None
) -> Mapping[str, Any]:
    """Send `body` to `path` as a dry run, and return the impact. Nothing is changed."""
    planned: Mapping[str, Any] = (send or caller.post)(dry_run(path), body)
    return planned


def deleting(caller: Caller) -> Send:
    """Return a function that sends a DELETE without a body."""
    return lambda path, _body: caller.delete(path)


def editing(caller: Caller, read: Mapping[str, Any]) -> Send:
    """Return a function that sends a PATCH for the entity that was `read`.

    The PATCH fails if the slug belongs to another entity by then.
    """
    return lambda path, body: caller.patch(path, body or {}, read=read)


def print_impact(caller: Caller, output: Output, planned: Mapping[str, Any]) -> None:
    """Print the impact in one line on stderr. Only the result of the command goes to stdout.

    APIs receive revocations from a running server. If no server answers, a note says that APIs receive the
    revocation later. The stored list of APIs that follow revocations may then be outdated.
    """
    stops = planned["would_stop"]
    if stops is None:
        output.note("What stops: nothing.")
        return
    output.note(f"What stops: {summary(stops)}.")
    if stops["apis"] and stops["until"] and (address := caller.reach.silent_address()):
        output.note(
            f"No server answers at {address}. APIs learn of the change when the server at that address runs "
            "again, or from another server that uses this data."
        )


def revocation_text(
    planned: Mapping[str, Any] | None, claim: str, instead: str = "", what: str = "earlier tokens"
) -> str:
    """Return the end of a sentence that reports a revocation: `claim`, or a warning.

    `planned` is the dry run of the change. If every API learns of the revocation, return `claim`. Otherwise return
    `instead` and a sentence that says until when an API may accept `what`.
    """
    until = accepted_until(planned["would_stop"]) if planned else ""
    return f"{instead}. APIs that do not follow the feed may accept {what} until {until}." if until else claim


def repeat_text(planned: Mapping[str, Any] | None) -> str:
    """Return a sentence if the thing already had the state after the change. Otherwise return an empty text.

    `planned` is the dry run of the change. The authority records such a change, too: somebody may have changed the row
    without AuthSec.
    """
    repeats = planned is not None and any(event["detail"].get("already") for event in planned["would_change"])
    return " That was so before. The audit log records the repeated change." if repeats else ""


def confirm_with_impact(
    caller: Caller,
    output: Output,
    path: str,
    question: str,
    *,
    yes: bool,
    body: Mapping[str, Any] | None = None,
    send: Send | None = None,
) -> Mapping[str, Any] | None:
    """Show the impact of sending `body` to `path`, and ask for confirmation at a terminal.

    Return the dry run, or None if no dry run was made. A script sees the impact without a question. Use this
    function for changes that can be undone or that only revoke tokens. For other changes, use `confirm_permanent`.
    """
    if not _is_interactive(yes) and output.as_json:
        return None
    planned = dry_run_of(caller, path, body, send=send)
    _print_and_confirm(caller, output, planned, question, yes)
    return planned


def confirm_permanent(
    caller: Caller, output: Output, path: str, question: str, *, yes: bool, send: Send | None = None
) -> Mapping[str, Any] | None:
    """Show the impact of an irreversible change, and ask for confirmation unless `yes` is set.

    Return the dry run, or None if no dry run was made. Raises `CallFailed` if nobody can answer the question, or
    click's `Abort` if the answer is no.
    """
    if yes and output.as_json:
        return None
    planned = dry_run_of(caller, path, send=send)
    if planned["would_stop"] is not None or _can_revoke_tokens(planned):
        print_impact(caller, output, planned)
    confirm(question, yes=yes)
    return planned


def _can_revoke_tokens(planned: Mapping[str, Any]) -> bool:
    """Return whether the change can revoke tokens. A change of an admin key or an API never revokes a token."""
    return any(event["kind"].partition(".")[0] not in {"admin_key", "api"} for event in planned["would_change"])


def confirm_if_tokens_end(
    caller: Caller,
    output: Output,
    path: str,
    question: str,
    *,
    yes: bool,
    body: Mapping[str, Any],
    send: Send | None = None,
) -> None:
    """Show the impact and ask for confirmation at a terminal, but only if the change would revoke live tokens."""
    if _is_interactive(yes) or not output.as_json:
        planned = dry_run_of(caller, path, body, send=send)
        if planned["would_stop"] is not None and planned["would_stop"]["until"] is not None:
            _print_and_confirm(caller, output, planned, question, yes)


def _is_interactive(yes: bool) -> bool:
    return not yes and sys.stdin.isatty()


def _print_and_confirm(caller: Caller, output: Output, planned: Mapping[str, Any], question: str, yes: bool) -> None:
    print_impact(caller, output, planned)
    if _is_interactive(yes):
        confirm(question, yes=False)


def confirm(question: str, *, yes: bool) -> None:
    """Ask for confirmation, unless `yes` is set.

    Raises `CallFailed` if nobody can answer the question. Raises click's `Abort` after the answer no or Ctrl-C.
    """
    if yes:
        return
    try:
        meant = click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():  # Ctrl-C, or Ctrl-D
            raise
        click.echo(err=True)  # end the line of the question
        raise CallFailed(
            "Nothing was done, because nobody could answer the question.", "To run without the question: --yes"
        ) from None
    if not meant:
        raise click.Abort


_WORDS = {"client": "agent", "api": "API", "delegation": "trust delegation", "issuer": "trusted issuer"}

Command = Callable[..., None]
Check = Callable[[Mapping[str, Any]], None]
"""A function that reads the answer to a dry run. It raises `CallFailed` to refuse the change."""


def change_command(command: Command) -> Command:
    """Make an `admin_command` with `--dry-run`."""
    return admin_command(_with_dry_run(command))


def local_change_command(command: Command) -> Command:
    """Make a `local_command` with `--dry-run`."""
    return local_command(_with_dry_run(command))


def edit(
    caller: Caller,
    output: Output,
    where: str,
    read: Mapping[str, Any],
    asked: Mapping[str, Any],
    *,
    yes: bool,
    cleared: Sequence[str] = (),
    check: Check | None = None,
) -> Any:
    """Change the `asked` fields of the entity that was `read`, and return the changed entity.

    A field with the value None stays as it is. The fields in `cleared` are set to null.

    Unless `yes` is set, `check` first reads the answer to a dry run, and can refuse the change. If the change
    would revoke tokens, the impact is shown, and a person at a terminal is asked for confirmation. If somebody
    else changed the entity first, the error names the person and the change.
    """
    body = given(asked) | dict.fromkeys(cleared)
    if not body:
        raise click.UsageError("No change was given. See --help for the options.")
    send = editing(caller, read)
    if check and not yes:
        check(dry_run_of(caller, where, body, send=send))
    confirm_if_tokens_end(caller, output, where, "Save it?", yes=yes, body=body, send=send)
    done = send(where, body)
    if not output.as_json and _values(done) == _values(read):
        output.note("Nothing changed: these are the current values.")
    return done


def _values(entity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields without those about the last edit. An edit can be recorded although it changes no value."""
    return {name: its for name, its in entity.items() if name not in {"revision", "changed_at", "changed_by"}}


def _with_dry_run(command: Command) -> Command:
    @click.option("--dry-run", is_flag=True, help="Show what would change and what would stop, and change nothing.")
    @wraps(command)
    def run(caller: Caller, output: Output, dry_run: bool, **options: Any) -> None:
        with caller.session() as its:
            try:
                command(replace(its, is_dry_run=dry_run), output, **options)
            except DryRunDone as rehearsed:
                _tell(its, output, rehearsed.planned)

    return run


def _tell(caller: Caller, output: Output, planned: Mapping[str, Any]) -> None:
    """Print the result of a dry run: the audit events of the change, the warnings and the impact."""
    events = planned["would_change"]
    head = "Nothing was changed. This would happen:" if events else "Nothing was changed, and nothing would change."
    lines = [line for event in events for line in _event(event)]
    output.result(planned, head, *lines, *warned(planned["would_answer"]))
    if not output.as_json:
        print_impact(caller, output, planned)


def _event(event: Mapping[str, Any]) -> Iterator[Text]:
    """Yield the lines of an event: a title such as `role edited: Support`, then one line for each difference.

    For a new entity, the lines show the fields instead.
    """
    room, _, verb = event["kind"].partition(".")
    named = [*event["roles"], *event["delegations"], event["client"], event["subject"]]
    agent = [event["client"]]
    about = {"role": event["roles"], "delegation": event["delegations"], "client": agent, "token": agent}.get(room, [])
    name = next((each["name"] or each["id"] for each in [*about, event["subject"], *named] if each), "")
    detail = event["detail"]
    because = f" ({detail['because']})" if detail.get("because") else ""
    which = f"{event['jti']} of " if room == "token" and event["jti"] and name else ""
    title = f"  {_WORDS.get(room, room).replace('_', ' ')} {verb.replace('_', ' ')}"
    yield styled(f"{title}: {which}{name}{because}" if name else f"{title}{because}", "bold")
    if note := shortened_note(detail):
        yield Text(f"    {note}")
    if verb == "created":
        yield from _facts(detail)
        return
    before, after = detail.get("before"), detail.get("after")
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for field, name in _aligned([*before, *after]).items():
            yield from _difference(name, *(_readable(field, each.get(field)) for each in (before, after)))


def _facts(detail: Mapping[str, Any]) -> Iterator[Text]:
    """Yield the fields of a new entity that fit on one line."""
    planned = {field: value for field, value in detail.items() if value and not _nested(value)}
    for field, name in _aligned(planned).items():
        yield Text.assemble((f"    {name}  ", "dim"), cell(_readable(field, planned[field])))


def _nested(value: object) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and any(isinstance(each, Mapping) for each in value))


def _aligned(fields: Iterable[str]) -> dict[str, str]:
    """Map each field to its readable name, padded to the width of the longest."""
    each = dict.fromkeys(fields)
    width = max(map(len, each), default=0)
    return {field: field.replace("_", " ").ljust(width) for field in each}


def _difference(field: str, before: object, after: object) -> Iterator[Text]:
    """Yield the old and new value of a field; for a list, the removed and the added items."""
    head = f"    {field}  "
    if isinstance(before, list) and isinstance(after, list):
        gone, come = _missing(before, after), _missing(after, before)
        parts = [*(styled(f"- {each}", "red") for each in gone), *(styled(f"+ {each}", "green") for each in come)]
    else:
        parts = [Text.assemble(styled(cell(before).plain, "red"), " → ", styled(cell(after).plain, "green"))]
    for part in parts:
        yield Text.assemble((head, "dim"), part)
        head = " " * len(head)


def _readable(field: str, value: object) -> object:
    """Convert the value to the form that a person types."""
    if isinstance(value, Mapping):
        return [f"{name}={each}" for name, each in value.items()]
    return as_typed(value) if field == "max_duration" and isinstance(value, int) else value


def _missing(those: Sequence[object], others: Sequence[object]) -> list[str]:
    return [harmless(_shown(each)) for each in those if each not in others]


def _shown(item: object) -> str:
    """Render an item of a list. An action of an API includes its description."""
    if isinstance(item, Mapping):
        return "  ".join(str(value) for value in item.values())
    return str(item)
