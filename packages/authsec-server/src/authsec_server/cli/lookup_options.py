"""The options for a cluster's look-ups, for `authsec issuers add kubernetes` and `authsec issuers edit`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from authsec_server.cli.files import read_named
from authsec_server.cli.kubeconfig import ApiServer
from authsec_server.cli.transport import CallFailed

MAX_FILE = 256 * 1024
CURRENT = ""  # the current context
FILE = click.Path(path_type=Path, dir_okay=False)


def from_kubeconfig(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option `--from-kubeconfig`, with `what` as the help text."""
    return click.option(
        "--from-kubeconfig", "context", is_flag=False, flag_value=CURRENT, metavar="[CONTEXT]", help=what
    )


def lookup_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for look-ups: the API server, its certificates, the credentials and the look-ups to turn on."""
    for option in (
        click.option("--api-ca-file", type=FILE, help="PEM certificates to trust for the API server, and no others."),
        click.option("--api-server", help="URL at which this authority reaches the cluster's API server, https://…"),
        click.option(
            "--credentials",
            metavar="FILE_NAME",
            help="File with a token for the API server, in the server's folder AUTHSEC_SERVER_CREDENTIALS_DIR.",
        ),
        click.option(
            "--pod-lookup/--no-pod-lookup",
            default=None,
            help="Ask the cluster for the pod's labels, owners and containers.",
        ),
        click.option(
            "--token-review/--no-token-review",
            default=None,
            help="Ask the cluster for each token whether its pod still exists.",
        ),
    ):
        command = option(command)
    return command


def lookups(options: Mapping[str, Any], api: ApiServer | None) -> dict[str, Any]:
    """Return the look-up options that were used, as fields of the admin API. Raises `CallFailed`.

    If an option was used, the kubeconfig fills in a missing API server and its CA.
    """
    asked: dict[str, Any] = {
        "token_review": options["token_review"],
        "pod_lookup": options["pod_lookup"],
        "credentials": options["credentials"],
        "api_server": options["api_server"],
        "api_ca": certificates(options["api_ca_file"]) or None,
    }
    if api is not None and any(value is not None for value in asked.values()):
        asked["api_server"] = asked["api_server"] or api.server
        asked["api_ca"] = asked["api_ca"] or api.ca
    return {name: value for name, value in asked.items() if value is not None}


def certificates(file: Path | None) -> str:
    """Read the certificates in the file. Without a file, return an empty text. Raises `CallFailed`.

    A private key is refused before the request, so the key does not leave this machine.
    """
    text = read_named(file, at_most=MAX_FILE).decode("utf-8", "replace") if file else ""
    if "PRIVATE KEY" in text:
        raise CallFailed(f"{file} has a PRIVATE key. It was not sent.", "Give only the certificates.")
    return text
