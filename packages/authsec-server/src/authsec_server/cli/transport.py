"""The interface to an authority's admin API. The module also converts answers and errors for the command line."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

import click
import httpx2
from authsec.exit_status import Exit, exit_of_answer

from authsec_server.cli.output import say_failed, when

API: Final = "/authsec/api/v1/"


class CallFailed(click.ClickException):
    """The call was refused or could not be made. Click prints the error without a traceback and exits.

    `exit_code` is the exit status. `reason` is the authority's stable code for the error. `field` is the
    refused member of the body, if one member was refused.
    """

    def __init__(
        self,
        message: str,
        remedy: str = "",
        request_id: str = "",
        *,
        exit_code: Exit = Exit.FAILED,
        reason: str = "",
        field: str = "",
    ) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.request_id = request_id
        self.reason = reason
        self.field = field
        self.exit_code = exit_code  # type: ignore[misc]  # click reads the attribute from the instance

    def show(self, file: Any = None) -> None:  # noqa: ARG002 - click's signature; a failure always goes to stderr
        say_failed(self.message, self.remedy, self.request_id)


class Transport(Protocol):
    """The interface to an authority."""

    def send(self, method: str, path: str, content: Mapping[str, Any]) -> httpx2.Response:
        """Send one request to `path` below the API's root. Raises `CallFailed` when there is no response."""

    def session(self) -> AbstractContextManager[Transport]:
        """Keep the authority open for many calls. Raises `CallFailed`."""

    def address(self) -> str:
        """Return the root URL of the authority for agents and APIs. Raises `CallFailed`."""

    def console_address(self) -> str:
        """Return the root URL of the console and of the admin API. Raises `CallFailed`."""

    def silent_address(self) -> str:
        """Return the authority's address if no server answers there.

        The text is empty if a server answers or if the state is unknown.
        """


def result(answer: httpx2.Response) -> Any:
    """Return the JSON of a successful answer. Raises `CallFailed` for any other answer."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or answer.is_redirect:
        raise CallFailed(
            f"The answer HTTP {answer.status_code} did not come from an AuthSec authority.",
            "Check AUTHSEC_BASE_URL.",
            exit_code=exit_of_answer(answer.status_code) or Exit.FAILED,
        )
    if not answer.is_success:
        message = _as_typed(str(body.get("error") or f"The authority answered HTTP {answer.status_code}."), body)
        remedy = str(body.get("details") or "")
        raise CallFailed(
            message + _what_changed(body),
            " ".join(filter(None, [remedy, _option(f"{message} {remedy}", body)])),
            str(body.get("request_id") or ""),
            exit_code=exit_of_answer(answer.status_code),
            reason=str(body.get("reason") or ""),
            field=str(body.get("field") or ""),
        )
    return body


def _as_typed(message: str, body: Mapping[str, Any]) -> str:
    """Replace the member name at the start of the message by the option or argument that the person typed."""
    field, context = str(body.get("field") or ""), click.get_current_context(silent=True)
    if context is None or not message.startswith(f"{field} "):
        return message
    for parameter in context.command.params:
        if parameter.name == field:
            typed = parameter.opts[0] if isinstance(parameter, click.Option) else parameter.human_readable_name
            return typed + message.removeprefix(field)
    return message


def _option(said: str, body: Mapping[str, Any]) -> str:
    """Return a sentence with the option for the refused member of the body; "" if `said` names the option.

    An option with many values is named only if somebody separated the values with commas.
    """
    field, context = str(body.get("field") or "").partition(".")[0], click.get_current_context(silent=True)
    for parameter in context.command.params if context else ():
        if isinstance(parameter, click.Option) and parameter.name == field and parameter.opts[0] not in said:
            flag = parameter.opts[0]
            if parameter.multiple:
                return f"Give {flag} once for each value." if "comma" in said else ""
            return f"The option is {flag}."
    return ""


def _what_changed(body: Mapping[str, Any]) -> str:
    """Describe what somebody else changed before this edit arrived: the fields and the time.

    The text is empty if there are no such fields.
    """
    fields = [str(each).replace("_", " ") for each in body.get("changed_fields") or ()]
    return f" Changed: {', '.join(fields)}, at {when(body['changed_at'])} UTC." if fields else ""
