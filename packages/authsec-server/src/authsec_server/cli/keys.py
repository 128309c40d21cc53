"""`authsec keys`: manage the keys that sign delegation tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click
from authsec.lazy_commands import Commands, LazyCommand

from authsec_server.cli.caller import Caller, path
from authsec_server.cli.confirm import change_command, confirm_permanent, reason_option, repeat_text, yes_option
from authsec_server.cli.output import Output, time_of, when
from authsec_server.cli.resource import Resource
from authsec_server.keys.model import Algorithm

_UNKNOWN_AT_FIRST: Final = (
    "No verifier has the new key yet. TokenVerifier and verify-server fetch the key set when a token names an unknown "
    "key, once a minute at most. Other verifiers may refuse new tokens until their next refresh of the key set. HTTP "
    "caches keep the key set for 4 minutes."
)


@click.group(cls=Commands)
def keys() -> None:
    """Manage the keys that sign delegation tokens."""


keys.add_command(
    LazyCommand(
        "change-master-key",
        "Encrypt all private keys with a new master key, in one transaction.",
        "authsec_server.cli.master_key:change_master_key",
    )
)


@keys.command()
@click.option(
    "--algorithm",
    type=click.Choice([each.value for each in Algorithm]),
    help="Rotate the keys of this algorithm. [default: RS256]",
)
@click.option(
    "--now",
    "is_now",
    is_flag=True,
    help="Sign with a new key at once, and revoke the prepared key: somebody may have a copy of the private keys.",
)
@click.option("--force", is_flag=True, help="Rotate even if some verifiers may not have the next key yet.")
@click.option(
    "--feed",
    is_flag=True,
    help="Rotate the key of the revocation feed instead. The new key starts to sign after 5 minutes.",
)
@yes_option
@change_command
def rotate(
    caller: Caller, output: Output, algorithm: str | None, is_now: bool, force: bool, feed: bool, yes: bool
) -> None:
    """Activate the prepared key of an algorithm, and prepare another one.

    The previous key stays published until the last token that it signed expires. No token stops working.

    With --now, a new key signs at once, and the prepared key is revoked. Verifiers do not have the new key yet. An API
    with TokenVerifier fetches the key set when a token names an unknown key, once a minute at most. Other verifiers may
    refuse new tokens until their next refresh of the key set.
    """
    if is_now and (feed or force):
        raise click.UsageError("--now stands alone or with --algorithm.")
    if feed and force:
        raise click.UsageError("--feed cannot be forced: followers of the feed must fetch the new key first.")
    if feed and algorithm:
        raise click.UsageError("--feed takes no --algorithm: the feed has a key of its own.")
    if feed:
        answer = caller.post("keys/rotate-feed")
        output.result(answer, f"A new key signs the revocation feed from {when(answer['signs_from'])} UTC on.")
        return
    if is_now:
        _rotate_now(caller, output, algorithm or Algorithm.RS256, yes=yes)
        return
    key = caller.post("keys/rotate", {"algorithm": algorithm or Algorithm.RS256, "force": force})
    output.result(key, f"The key {key['kid']} is now the signing key for {key['algorithm']}.")


def _rotate_now(caller: Caller, output: Output, algorithm: str, *, yes: bool) -> None:
    """Let a new key sign at once, after a question: some verifiers refuse its tokens for a while."""
    body = {"algorithm": algorithm, "now": True}
    if not output.as_json:
        output.note(_UNKNOWN_AT_FIRST)
    question = f"Sign with a new key for {algorithm} now?"
    confirm_permanent(caller, output, "keys/rotate", question, yes=yes, send=lambda where, _: caller.post(where, body))
    key = caller.post("keys/rotate", body)
    lines = [f"The new key {key['kid']} is now the signing key for {algorithm}."]
    if not output.as_json and (last := _last_retired(caller, algorithm)):
        lines += [
            f"Tokens of the previous key {last['kid']} stay valid. The key is published until "
            f"{when(last['publish_until'])} UTC.",
            "If somebody may have its private key, revoke the key and its tokens:",
            f"  {caller.follow_up('keys', 'revoke', last['kid'])}",
        ]
    output.result(key, *lines)


def _last_retired(caller: Caller, algorithm: str) -> Mapping[str, Any] | None:
    every = caller.get("keys")["items"]
    retired = [key for key in every if (key["algorithm"], key["state"]) == (algorithm, "retired")]
    return max(retired, key=lambda key: str(key["retired_at"]), default=None)


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
