"""The option that names the file of the sealing key, for commands that need this key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import click
from authsec.exit_status import Exit

from authsec_server.cli.caller import Caller
from authsec_server.cli.local import InProcess
from authsec_server.cli.output import Output
from authsec_server.cli.transport import CallFailed
from authsec_server.keys.sealing_keys import NO_FILE, SETTING

OPTION = "--sealing-key-file"


def sealing_key_option(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--sealing-key-file` to a command. If the command fails without the file, the error names the option."""

    @click.option(
        OPTION,
        "sealing_key_file",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help=f"File of the current sealing key, if the key is in a file. Needs --data. [default: {SETTING}]",
    )
    @wraps(command)
    def run(caller: Caller, output: Output, *, sealing_key_file: Path | None, **options: Any) -> None:
        try:
            command(_with_file(caller, sealing_key_file) if sealing_key_file else caller, output, **options)
        except CallFailed as failed:
            if failed.message != NO_FILE:
                raise
            raise CallFailed(
                NO_FILE, f"Name the file of the sealing key: {OPTION} FILE, or {SETTING}=FILE", exit_code=Exit.FAILED
            ) from None

    return run


def in_process(caller: Caller, option: str) -> InProcess:
    """Return the in-process authority. Raises `CallFailed` if `caller` uses a server.

    A server must not receive the private key.
    """
    if isinstance(caller.reach, InProcess):
        return caller.reach
    raise CallFailed(
        "A private key cannot be sent to a server.", f"Run this on the server's machine: --data DIR {option} FILE"
    )


def _with_file(caller: Caller, file: Path) -> Caller:
    reach = in_process(caller, OPTION)
    settings = reach.settings.model_copy(update={"sealing_key_file": file})
    return replace(caller, reach=replace(reach, settings=settings))
