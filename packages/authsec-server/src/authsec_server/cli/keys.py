"""`authsec keys`: the keys that sign delegation tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from authsec_server.cli.caller import Caller, admin_command
from authsec_server.cli.output import Output, table, when


@click.group()
def keys() -> None:
    """The keys that sign delegation tokens."""


@keys.command("list")
@admin_command
def list_keys(caller: Caller, output: Output) -> None:
    """List the keys, newest first.

    A prepared key is published and signs next; the active one signs; a retired one is published until the last token
    that it signed is dead, then it is gone.
    """
    answer = caller.get("keys")
    rows = [(key["kid"], key["state"], when(_since(key)), when(key["publish_until"])) for key in answer["items"]]
    output.result(answer, table(("KEY", "STATE", "SINCE (UTC)", "PUBLISHED UNTIL (UTC)"), rows, whole=("KEY",)))


@keys.command()
@click.option("--force", is_flag=True, help="Even though some verifiers may not know the next key yet.")
@admin_command
def rotate(caller: Caller, output: Output, force: bool) -> None:
    """Let the prepared key sign from now on, and prepare another.

    The key before stays published until the last token that it signed is dead: no token stops working.
    """
    key = caller.post("keys/rotate", {"force": force})
    output.result(key, f"The key {key['kid']} signs from now on.")


def _since(key: Mapping[str, Any]) -> str | None:
    entered = {"active": "activated_at", "retired": "retired_at", "gone": "publish_until"}
    since: str | None = key[entered.get(key["state"], "created_at")]
    return since
