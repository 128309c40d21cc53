"""A way to an authority's admin API, and what it means that a call of it failed.

There are two: in process, on the server's own machine (`in_process.py`); over HTTPS, with an admin key (`remote.py`).
Each sends one request and hands back the response; what it means is the caller's to say (`caller.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

import click
import httpx2
from authsec.exits import Exit

from authsec_server.cli.output import say_failed

API: Final = "/authsec/api/v1/"


class CallFailed(click.ClickException):
    """The call was refused or could not be made. Click prints it and exits with its status, without a traceback.

    `reason` is the authority's stable code for it, `field` the member of the body that was refused, where it was one.
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
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it of the instance; one class is enough

    def show(self, file: Any = None) -> None:  # noqa: ARG002 - click's signature; a failure always goes to stderr
        say_failed(self.message, self.remedy, self.request_id)


class Reach(Protocol):
    """A way to an authority."""

    def send(self, method: str, path: str, content: Mapping[str, Any]) -> httpx2.Response:
        """Send one request to `path` below the API's root. Raises `CallFailed` when there is no response."""

    def kept_open(self) -> AbstractContextManager[Reach]:
        """The same for many calls. Raises `CallFailed`."""

    def address(self) -> str:
        """The root of the authority, as those who call it know it. Raises `CallFailed`."""

    def silent_address(self) -> str:
        """The address where the authority should be served and nobody answers; empty where that cannot be known."""
