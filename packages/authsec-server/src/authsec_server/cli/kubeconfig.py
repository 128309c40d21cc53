"""The options for a cluster's look-ups, and the reader for a kubeconfig: API server, certificates, credentials."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from authsec.config import is_loopback

from authsec_server.cli.caller import follow_up_here
from authsec_server.cli.files import read_named
from authsec_server.cli.transport import CallFailed

_MAX_KUBECONFIG = 1024 * 1024


def instead() -> str:
    """Return how to add the cluster without this kubeconfig, at the authority of the running command."""
    command = follow_up_here("issuers", "add", "kubernetes", "NAME", "--issuer", "ISSUER", "--jwks", "jwks.json")
    return (
        "If kubectl works, read the issuer and the keys yourself: `kubectl get --raw "
        "/.well-known/openid-configuration` shows the issuer, and `kubectl get --raw /openid/v1/jwks > jwks.json` "
        f"saves the keys. Then: {command}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServer:
    """An API server and the credentials for it. Without `ca`, the system's certificates are trusted."""

    server: str
    ca: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)


def read_kubeconfig(context: str = "") -> ApiServer:
    """Return the API server of this context, or of the current context if `context` is empty.

    Raises `CallFailed`; the error says how to read issuer and keys with kubectl.
    """
    path = _path()
    config = _loaded(path)
    name = context or config.get("current-context")
    if not isinstance(name, str) or not name:
        raise _cannot(f"{path} names no current context", "Name one: --from-kubeconfig CONTEXT")
    chosen = _named(config, path, "context", name)
    cluster = _named(config, path, "cluster", chosen.get("cluster"))
    user = _named(config, path, "user", chosen.get("user"))
    _refuse_what_is_not_followed(path, cluster, user)
    ca = _data(path, cluster, "certificate-authority")
    # As in kubectl, the token file comes first, because its token is renewed.
    token = _text(_data(path, {"token-file": user.get("tokenFile")}, "token-file")) or user.get("token")
    return ApiServer(
        server=_server(path, cluster.get("server")),
        ca=_text(ca),
        token=str(token).strip() if token else None,
        certificate=_data(path, user, "client-certificate"),
        key=_data(path, user, "client-key"),
    )


def _path() -> Path:
    """Return the first file in KUBECONFIG, or the default path."""
    named = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return Path(named[0]) if named else Path.home() / ".kube" / "config"


def _loaded(path: Path) -> Mapping[str, Any]:
    import yaml  # only an option of two commands needs it

    try:
        config = yaml.safe_load(read_named(path, at_most=_MAX_KUBECONFIG, remedy=instead()))
    except yaml.YAMLError:
        raise _cannot(f"{path} is not YAML") from None
    if not isinstance(config, dict):
        raise _cannot(f"{path} is not a kubeconfig")
    return config


def _named(config: Mapping[str, Any], path: Path, kind: str, name: object) -> Mapping[str, Any]:
    entries = config.get(f"{kind}s")
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(kind), dict):
            found: Mapping[str, Any] = entry[kind]
            return found
    raise _cannot(f"{path} has no {kind} {name!r}")


def _refuse_what_is_not_followed(path: Path, cluster: Mapping[str, Any], user: Mapping[str, Any]) -> None:
    for part, member, what in (
        (user, "exec", "signs in with a separate program (exec)"),
        (user, "auth-provider", "signs in with an auth-provider"),
        (user, "username", "signs in with a password"),
        (cluster, "proxy-url", "is reached through a separate proxy (proxy-url)"),
        (cluster, "tls-server-name", "has a certificate for another name (tls-server-name)"),
        # The attack: somebody on the network answers with another key set, and can then sign tokens of every workload.
        (cluster, "insecure-skip-tls-verify", "is used without verification (insecure-skip-tls-verify)"),
    ):
        if part.get(member):
            raise _cannot(f"This cluster of {path} {what}, which is not supported here")


def _server(path: Path, server: object) -> str:
    parts = urlsplit(server) if isinstance(server, str) else urlsplit("")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise _cannot(f"{path} names no API server at an https address")
    return str(server).rstrip("/")


def _data(path: Path, part: Mapping[str, Any], member: str) -> bytes | None:
    """Return the content of `<member>-data`, or of the file in `<member>`, relative to the kubeconfig."""
    inline, named = part.get(f"{member}-data"), part.get(member)
    if isinstance(inline, str) and inline:
        try:
            return base64.b64decode(inline, validate=True)
        except binascii.Error:
            raise _cannot(f"{member}-data of {path} is not base64") from None
    return (
        read_named(path.parent / named, at_most=_MAX_KUBECONFIG, remedy=instead())
        if isinstance(named, str) and named
        else None
    )


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "replace")


def _cannot(what: str, remedy: str = "") -> CallFailed:
    return CallFailed(f"{what}.", remedy or instead())


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
        click.option("--api-ca-file", type=FILE, help="The only PEM certificates to trust for the API server."),
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
