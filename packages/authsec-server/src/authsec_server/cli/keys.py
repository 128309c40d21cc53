"""`authsec keys`: the keys that sign delegation tokens."""

from __future__ import annotations

import click

from authsec_server.cli.caller import Caller, admin_command
from authsec_server.cli.output import Output, table


@click.group()
def keys() -> None:
    """The keys that sign delegation tokens."""


@keys.command("list")
@admin_command
def list_keys(caller: Caller, output: Output) -> None:
    """List the keys with their states: prepared, active, retired, gone."""
    answer = caller.get("keys")
    columns = ("kid", "state", "created_at", "activated_at", "retired_at", "publish_until")
    heads = ("KEY", "STATE", "CREATED", "ACTIVE SINCE", "RETIRED", "PUBLISHED UNTIL")
    output.result(answer, table(heads, [[key[column] for column in columns] for key in answer["items"]]))


@keys.command()
@click.option("--force", is_flag=True, help="Even if verifiers may not have seen the next key yet.")
@admin_command
def rotate(caller: Caller, output: Output, force: bool) -> None:
    """Let the prepared key sign from now on, and prepare another.

    The key before stays published until the last token that it signed is dead: nothing breaks.
    """
    key = caller.post("keys/rotate", {"force": force})
    output.result(key, f"The key {key['kid']} signs from now on.")
