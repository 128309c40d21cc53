"""`authsec keys`: manage the keys that sign delegation tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from authsec.lazy_commands import Commands

from authsec_server.cli.caller import Caller, path
from authsec_server.cli.confirm import change_command, confirm_permanent, reason_option, repeat_text, yes_option
from authsec_server.cli.output import Output, time_of, when
from authsec_server.cli.resource import Resource
from authsec_server.keys.model import Algorithm


@click.group(cls=Commands)
def keys() -> None:
    """Manage the keys that sign delegation tokens."""


@keys.command()
@click.option(
    "--algorithm",
    type=click.Choice([each.value for each in Algorithm]),
    help="Rotate the keys of this algorithm. [default: RS256]",
)
@click.option("--force", is_flag=True, help="Rotate even if some verifiers may not have the next key yet.")
@click.option(
    "--feed",
    is_flag=True,
    help="Rotate the key of the revocation feed instead. The new key starts to sign after 5 minutes.",
)
@change_command
def rotate(caller: Caller, output: Output, algorithm: str | None, force: bool, feed: bool) -> None:
    """Activate the prepared key of an algorithm, and prepare another one.

    The previous key stays published until the last token that it signed expires. No token stops working.
    """
    if feed and force:
        raise click.UsageError("--feed cannot be forced: followers of the feed must fetch the new key first.")
    if feed and algorithm:
        raise click.UsageError("--feed takes no --algorithm: the feed has a key of its own.")
    if feed:
        answer = caller.post("keys/rotate-feed")
        output.result(answer, f"A new key signs the revocation feed from {when(answer['signs_from'])} UTC on.")
        return
    key = caller.post("keys/rotate", {"algorithm": algorithm or Algorithm.RS256, "force": force})
    output.result(key, f"The key {key['kid']} is now the signing key for {key['algorithm']}.")


@keys.command(context_settings={"ignore_unknown_options": True})  # the id of a key may begin with a hyphen
@click.argument("kid", metavar="KEY")
@reason_option
@yes_option
@change_command
def revoke(caller: Caller, output: Output, kid: str, reason: str, yes: bool) -> None:
    """Revoke a key that somebody else may have. KEY is the id of the key, as `list` shows it.

    The authority stops publishing the key, and every token that it signed is revoked. If the key is active and
    an API still has its algorithm, the prepared key of this algorithm replaces the key at once. APIs that
    do not follow revocations accept tokens of the key until their next refresh of the key set. An API that can reach
    the authority refreshes the key set after 5 to 10 minutes.
    """
    where = path("keys", kid, "revoke")
    planned = confirm_permanent(caller, output, where, f"Revoke the key {kid} permanently?", yes=yes)
    key = caller.post(where, {"reason": reason})
    is_revoked = f"The key {key['kid']} is revoked: its signatures are no longer accepted."
    output.result(key, is_revoked + repeat_text(planned))


def _since(key: Mapping[str, Any]) -> str | None:
    entered = {
        "active": "activated_at",
        "retired": "retired_at",
        "gone": "publish_until",
        "revoked": "publish_until",
    }
    since: str | None = key[entered.get(key["state"], "created_at")]
    return since


_KEY = Resource(
    path="keys/{key}",
    columns={
        "KEY": "kid",
        "ALGORITHM": "algorithm",
        "STATE": "state",
        "SINCE (UTC)": lambda key: when(_since(key)),
        "PUBLISHED UNTIL (UTC)": time_of("publish_until"),
    },
    whole="KEY",
)
keys.add_command(
    _KEY.list_command(
        """List the signing keys, newest first.

        A prepared key is published and becomes the next signing key. The active key of each algorithm signs. A
        retired key stays published until the last token that it signed expires. Then the key is gone. Verifiers
        accept no signature by a revoked key.
        """,
    )
)
