"""Commands that end something say first what will stop, and ask whether it is meant unless `--yes` is given."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from authsec_server.cli.caller import Caller, dry_run
from authsec_server.cli.output import Output
from authsec_server.cli.reach import CallFailed
from authsec_server.console.stopping import summary

yes_option = click.option("--yes", is_flag=True, help="Do it without asking.")
reason_option = click.option("--reason", default="", help="Why, for the audit trail.")


Send = Callable[[str, Mapping[str, Any] | None], Any]
"""How a body is sent to a path: a POST, unless a command says else."""


def foreseen(
    caller: Caller, path: str, body: Mapping[str, Any] | None = None, *, send: Send | None = None
) -> Mapping[str, Any]:
    """What it would bring about to send `body` to `path`. Nothing is changed."""
    told: Mapping[str, Any] = (send or caller.post)(dry_run(path), body)
    return told


def deleting(caller: Caller) -> Send:
    """Sends a DELETE, which has no body."""
    return lambda path, _body: caller.delete(path)


def editing(caller: Caller, read: Mapping[str, Any]) -> Send:
    """Sends a PATCH of what was `read`, and of nothing that has its slug by now."""
    return lambda path, body: caller.patch(path, body or {}, read=read)


def say(caller: Caller, output: Output, told: Mapping[str, Any]) -> None:
    """What stops, in one line on stderr: what comes on stdout is the result.

    APIs learn of it from a server. Where none is to be seen, what they were seen to follow is of before.
    """
    stops = told["would_stop"]
    if stops is None:
        output.note("What stops: nothing.")
        return
    output.note(f"What stops: {summary(stops)}.")
    if stops["apis"] and stops["until"] and (address := caller.reach.silent_address()):
        output.note(
            f"No server answers at {address}. Unless another one serves this data, APIs learn of it when it is back."
        )


def ask_first(
    caller: Caller,
    output: Output,
    path: str,
    question: str,
    *,
    yes: bool,
    body: Mapping[str, Any] | None = None,
    send: Send | None = None,
) -> None:
    """Say what it stops to send `body` to `path`, and whoever sits at a terminal is asked.

    A script is told and not asked: this is for what can be undone, or ends tokens and no more. See `ask_for_good`.
    """
    if _somebody_is_asked(yes) or not output.as_json:
        _say_and_ask(caller, output, foreseen(caller, path, body, send=send), question, yes)


def ask_for_good(
    caller: Caller, output: Output, path: str, question: str, *, yes: bool, send: Send | None = None
) -> None:
    """Say what stops of that which nobody can bring back. Where nobody can be asked whether it is meant, it is refused.

    Raises `CallFailed` or click's `Abort`.
    """
    if yes and output.as_json:
        return
    told = foreseen(caller, path, send=send)
    if told["would_stop"] is not None:
        say(caller, output, told)
    confirm(question, yes=yes)


def ask_if_tokens_end(
    caller: Caller,
    output: Output,
    path: str,
    question: str,
    *,
    yes: bool,
    body: Mapping[str, Any],
    send: Send | None = None,
) -> None:
    """The same of what may end tokens and may not: nothing is said where none is out that would."""
    if _somebody_is_asked(yes) or not output.as_json:
        told = foreseen(caller, path, body, send=send)
        if told["would_stop"] is not None and told["would_stop"]["until"] is not None:
            _say_and_ask(caller, output, told, question, yes)


def _somebody_is_asked(yes: bool) -> bool:
    return not yes and sys.stdin.isatty()


def _say_and_ask(caller: Caller, output: Output, told: Mapping[str, Any], question: str, yes: bool) -> None:
    say(caller, output, told)
    if _somebody_is_asked(yes):
        confirm(question, yes=False)


def confirm(question: str, *, yes: bool) -> None:
    """Go on only if it is meant. Where nobody can answer, nothing is done. Raises `CallFailed` or click's `Abort`."""
    if yes:
        return
    try:
        meant = click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():  # Ctrl-C, or Ctrl-D
            raise
        click.echo(err=True)  # the question's line is still open
        raise CallFailed("Nobody was there to answer, so nothing was done.", "To do it without asking: --yes") from None
    if not meant:
        raise click.Abort
