"""The format of results and errors in a terminal: plain, aligned, readable without colour."""

from __future__ import annotations

import functools
import os
import re
import shlex
import sys
import textwrap
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import click

from authsec.errors import AuthSecError, ConfigError, DelegationDenied, VerificationError
from authsec.refusals import IN_A_PROGRAM, retrying

_TITLE_WIDTH = 20
OF_THE_SERVER: Final = frozenset(
    {"admin", "agents", "apis", "apply", "audit", "backup", "db", "delegations", "export", "issuers", "keys", "revoke"}
    | {"roles", "serve"}
)
"""The commands of the package authsec-server."""

OF_THE_DEMO: Final = frozenset({"demo", "demo-api"})
_OF_THE_SDK: Final = {"completion", "doctor", "enrol", "keygen", "smoke", "token", "verify-server"}
_COMMAND: Final = re.compile(
    r"(?<![\w./-])(?P<uv>uv\s+run\s+)?authsec (?="
    rf"(?:{'|'.join(sorted(OF_THE_SERVER | OF_THE_DEMO | _OF_THE_SDK))})(?![\w-]))"
)


class Grade(StrEnum):
    """The result of a step."""

    GOOD = "ok"
    AMBER = "warning"  # The step worked, but needs attention.
    BAD = "failed"
    SKIPPED = "skipped"  # The step could not run, because of an earlier failure.


_MARKS = {Grade.GOOD: ("✓", "ok"), Grade.AMBER: ("!", "!"), Grade.BAD: ("✗", "NO"), Grade.SKIPPED: ("-", "-")}
_COLOURS = {Grade.GOOD: "green", Grade.AMBER: "yellow", Grade.BAD: "red"}


def step(grade: Grade, title: str, facts: Sequence[str]) -> str:
    """Format a step: its mark, its title, and its facts, one a line."""
    first, *others = facts or [""]
    lines = [f"  {_mark(grade)} {title:{_TITLE_WIDTH}}{first}", *(f"    {'':{_TITLE_WIDTH}}{each}" for each in others)]
    return "\n".join(line.rstrip() for line in lines)


def heading(name: str, value: str) -> str:
    """Format a line of the heading above all steps, for example the authority's address."""
    return f"    {name:{_TITLE_WIDTH}}{value}"


def command_line(*words: str) -> str:
    """Return a command line that runs `authsec` with these words, ready to paste into a shell.

    The line starts with `uv run` if `uv run` started this process.
    """
    program = ("uv", "run", "authsec") if "UV_RUN_RECURSION_DEPTH" in os.environ else ("authsec",)  # set by `uv run`
    return " ".join(map(_quoted, (*program, *words)))


def runnable(text: str) -> str:
    """Rewrite each command `authsec …` in the text so that it starts as in `command_line`.

    Texts from a server contain such commands, and the server does not know about `uv run`. A command that starts with
    `uv run` stays, also if the text was wrapped after `uv run`.
    """
    return _COMMAND.sub(lambda found: found[0] if found["uv"] else f"{command_line()} ", text)


def failed(block: str) -> str:
    """Format a failure for stderr: the block of text, with a mark before its first line."""
    mark = "✗" if _shows("✗", sys.stderr.encoding) else "Error:"
    return f"{click.style(mark, fg='red', bold=True)} {runnable(block.lstrip())}"


def described(error: AuthSecError) -> str:
    """Format an error as a block of text: the failure and the remedy, then the facts for scripts and support."""
    said_below = (f" (request {error.request_id})", f" {retrying(error)}")
    # Commands name an API with --resource, programs with resource=….
    message = runnable(str(error).replace(IN_A_PROGRAM, "by --resource"))
    paragraphs = functools.reduce(lambda text, part: text.replace(part, ""), said_below, message).splitlines()
    text = [line for paragraph in paragraphs for line in _wrapped(paragraph)]
    answered = http_status(error)
    status = f" (HTTP {answered})" if answered else ""
    rows = [
        *_what_would_do(error),
        ("reason", f"{error.reason}{status}"),
        ("request id", error.request_id or ""),
        # A ConfigError was raised before any request, so advice about a retry would not fit.
        ("retrying", "" if isinstance(error, ConfigError) else _advice(error)),
    ]
    return "\n".join([*text, "", *(f"  {name:12}{value}" for name, value in rows if value)])


def _what_would_do(error: AuthSecError) -> list[tuple[str, str]]:
    """Return the authority's hints: a smaller request that would succeed, and the page to grant missing actions."""
    if not isinstance(error, DelegationDenied):
        return []
    return [("allowed", error.allowed_scope), ("grant it at", error.grant_at or "")]


def http_status(error: AuthSecError) -> int | None:
    """Return the HTTP status that a server sent, or None for a `VerificationError`.

    A `VerificationError` comes from a local check, not from a server. Its status is for an API that sends the
    error to its own caller.
    """
    return None if isinstance(error, VerificationError) else error.status


def duration(seconds: float) -> str:
    """Format a duration for people: `0.02 ms`, `12 ms`, `1.2 s`, `59 min 30 s`, `23 h 59 min`."""
    if seconds < 0.01:
        return f"{seconds * 1000:.2g} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _mark(grade: Grade) -> str:
    """Return the mark of a grade, in colour. If the terminal cannot show the mark, return a word instead."""
    sign, word = _MARKS[grade]
    if not _shows(sign, sys.stdout.encoding):
        return word
    return click.style(sign, fg=_COLOURS.get(grade), bold=grade is Grade.BAD)


def _shows(sign: str, encoding: str | None) -> bool:
    try:
        sign.encode(encoding or "ascii")
    except UnicodeEncodeError:  # The terminal cannot show the mark.
        return False
    return True


def _quoted(word: str) -> str:
    if os.name != "nt":
        return shlex.quote(word)
    return f'"{word}"' if " " in word else word


def _wrapped(line: str) -> list[str]:
    """Wrap a long line. An indented line is text to copy, so it is not wrapped."""
    if line.startswith(" "):
        return [f"  {line}"]
    return textwrap.wrap(
        line, 96, initial_indent="  ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _advice(error: AuthSecError) -> str:
    if not error.retryable:
        return "will not help until something changes"
    return f"may help in {duration(error.retry_after)}" if error.retry_after else "may help"
