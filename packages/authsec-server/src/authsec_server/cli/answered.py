"""What came back from the admin API: the JSON of an answer, or why there is none, in the words that were typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
import httpx2
from authsec.exits import Exit, exit_of_answer

from authsec_server.cli.output import when
from authsec_server.cli.reach import CallFailed


def result(answer: httpx2.Response) -> Any:
    """The JSON of a good answer. Raises `CallFailed`."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or answer.is_redirect:
        raise CallFailed(
            f"HTTP {answer.status_code} came back, but not from an AuthSec authority.",
            "Is AUTHSEC_BASE_URL right?",
            exit_code=exit_of_answer(answer.status_code) or Exit.FAILED,
        )
    if not answer.is_success:
        raise CallFailed(
            _as_typed(str(body.get("error") or f"The authority answered HTTP {answer.status_code}."), body)
            + _what_changed(body),
            str(body.get("details") or ""),
            str(body.get("request_id") or ""),
            exit_code=exit_of_answer(answer.status_code),
            reason=str(body.get("reason") or ""),
            field=str(body.get("field") or ""),
        )
    return body


def _as_typed(message: str, body: Mapping[str, Any]) -> str:
    """The message; where it begins with the name of a member, with that of the option or argument it came from."""
    field, context = str(body.get("field") or ""), click.get_current_context(silent=True)
    if context is None or not message.startswith(f"{field} "):
        return message
    for parameter in context.command.params:
        if parameter.name == field:
            typed = parameter.opts[0] if isinstance(parameter, click.Option) else parameter.human_readable_name
            return typed + message.removeprefix(field)
    return message


def _what_changed(body: Mapping[str, Any]) -> str:
    """Where an edit came too late: what others changed meanwhile, and when."""
    fields = [str(each).replace("_", " ") for each in body.get("changed_fields") or ()]
    return f" Changed: {', '.join(fields)}, at {when(body['changed_at'])} UTC." if fields else ""
